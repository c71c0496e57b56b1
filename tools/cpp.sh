#!/bin/sh
# Makes sure that a C++ compiler and gRPC for C++ are installed, which tests/clients compiles with.
# Exits with 1 where they are missing and cannot be installed from Debian's packages.
set -eu

installed() {
  command -v cmake >/dev/null && command -v c++ >/dev/null &&
    command -v protoc >/dev/null && command -v grpc_cpp_plugin >/dev/null &&
    test -e /usr/include/grpcpp/grpcpp.h && test -e /usr/include/google/protobuf/message.h
}

if installed; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "gRPC for C++ is not installed (Debian: apt-get install g++ cmake libgrpc++-dev libprotobuf-dev protobuf-compiler-grpc)" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends g++ cmake make libgrpc++-dev libprotobuf-dev protobuf-compiler-grpc >/dev/null
installed
