"""Connections of their own, as different machines have them."""

import grpc

__all__ = ["open_channel"]


def open_channel(address: str) -> grpc.Channel:
    """A channel that shares no connection with others, and tries no call again.

    gRPC lets the channels of a process share one connection to a server, and a kernel whose port
    several workers listen on deals out connections, not calls.
    """
    return grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
