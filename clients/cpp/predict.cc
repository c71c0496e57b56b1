// Asks the inference service for one action: predict HOST:PORT POLICY NUMBER...
#include <chrono>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include <grpcpp/grpcpp.h>

#include "tradewind/api/inference/v1/inference.grpc.pb.h"

namespace api = tradewind::api::inference::v1;

// The retries and the balancing that Tradewind's own clients use.
static grpc::ChannelArguments Arguments() {
  std::ifstream file(SERVICE_CONFIG);
  std::stringstream text;
  text << file.rdbuf();
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(text.str());
  return arguments;
}

int main(int count, char** words) {
  if (count < 4) {
    std::cerr << "usage: predict HOST:PORT POLICY NUMBER...\n";
    return 2;
  }
  auto channel =
      grpc::CreateCustomChannel(words[1], grpc::InsecureChannelCredentials(), Arguments());
  auto stub = api::InferenceService::NewStub(channel);

  api::PredictRequest request;
  request.set_policy(words[2]);
  for (int i = 3; i < count; ++i) request.mutable_values()->add_values(std::stof(words[i]));

  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
  api::PredictResponse answer;
  const grpc::Status status = stub->Predict(&context, request, &answer);
  if (!status.ok()) {
    std::cerr << "status " << status.error_code() << ": " << status.error_message() << "\n";
    return 1;
  }
  if (answer.action_case() == api::PredictResponse::kDiscrete) {
    std::cout << "action " << answer.discrete();
  } else {
    std::cout << "action";
    for (float value : answer.continuous().values()) std::cout << ' ' << value;
  }
  std::cout << " version " << answer.version() << " compute_ns " << answer.model_compute_ns()
            << "\n";
  return 0;
}
