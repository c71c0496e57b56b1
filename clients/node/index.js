'use strict';
// Tradewind's services from Node. The contracts are a descriptor set, so nothing is generated: every
// method of every service is there, with promises, and a refused call says what was refused.

const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const READ = {keepCase: true, longs: String, enums: String, defaults: true, oneofs: true};
const definitions = loader.loadFileDescriptorSetFromBuffer(
  fs.readFileSync(path.join(__dirname, 'contracts.binpb')), READ);
const contracts = grpc.loadPackageDefinition(definitions);
const serviceConfig = fs.readFileSync(path.join(__dirname, 'service_config.json'), 'utf8');

const SERVICES = {
  inference: contracts.tradewind.api.inference.v1.InferenceService,
  risk: contracts.tradewind.api.risk.v1.RiskService,
  trainer: contracts.tradewind.api.trainer.v1.TrainerService,
  openInference: contracts.inference.GRPCInferenceService,
};

const DETAILS = {};
for (const [name, definition] of Object.entries(definitions)) {
  if (name.startsWith('google.rpc.')) DETAILS[name] = definition;
}

/** What a refused call says beside its status: ErrorInfo, BadRequest, RetryInfo. */
function errorDetails(error) {
  const [trailer] = error.metadata ? error.metadata.get('grpc-status-details-bin') : [];
  const found = {reason: '', domain: '', metadata: {}, violations: [], retryAfterS: null};
  if (!trailer) return found;
  for (const {type_url: url, value} of decode('google.rpc.Status', trailer).details) {
    const name = url.split('/').pop();
    const detail = DETAILS[name] && decode(name, value);
    if (name === 'google.rpc.ErrorInfo') Object.assign(found, detail);
    if (name === 'google.rpc.BadRequest') found.violations = detail.field_violations;
    if (name === 'google.rpc.RetryInfo') {
      const {seconds, nanos} = detail.retry_delay;
      found.retryAfterS = Number(seconds) + nanos / 1e9;
    }
  }
  return found;
}

// Any would be unpacked by its name; here it is taken as it is written, url and bytes.
function decode(name, bytes) {
  return DETAILS[name].deserialize(bytes);
}

/**
 * A client of one service: each method with one answer gives a promise, the others gRPC's own stream.
 *
 * @param {'inference'|'risk'|'trainer'|'openInference'} service
 * @param {string} address HOST:PORT or unix:PATH
 * @param {{credentials?: object, token?: string, timeoutMs?: number}} options the default deadline
 *     is 5 s; a token goes in plain text to this machine only
 */
function connect(service, address, options = {}) {
  const {credentials = grpc.credentials.createInsecure(), token, timeoutMs = 5000} = options;
  const local = /^(unix:|localhost:|127\.|\[::1\])/.test(address);
  if (token && !options.credentials && !local) {
    throw new Error(`the token is not sent: ${address} may be another machine, which takes TLS`);
  }
  const Client = SERVICES[service];
  if (!Client) throw new Error(`no service ${service}; there are ${Object.keys(SERVICES).join(', ')}`);
  const client = new Client(address, credentials, {
    'grpc.service_config': serviceConfig,
    'grpc.max_receive_message_length': -1,
  });
  const calls = {close: () => client.close()};
  for (const [name, method] of Object.entries(Client.service)) {
    const metadata = () => {
      const sent = new grpc.Metadata();
      if (token) sent.set('authorization', `Bearer ${token}`);
      return sent;
    };
    if (method.requestStream || method.responseStream) {
      calls[name] = (...request) => client[name](...request, metadata());
      continue;
    }
    calls[name] = (request, {deadlineMs = timeoutMs} = {}) => new Promise((resolve, reject) => {
      client[name](request, metadata(), {deadline: Date.now() + deadlineMs}, (error, answer) => {
        if (!error) return resolve(answer);
        error.tradewind = errorDetails(error);
        return reject(error);
      });
    });
  }
  return calls;
}

module.exports = {connect, errorDetails, contracts};
