// TensorFlow.js's Adamax as a program; docs/reports.md has the command that judges it.
//
// It speaks the protocol of docs/protocol.md. It only translates: it does not validate, count steps
// or keep moments. What TensorFlow.js throws is the answer.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-cpu";

const require = createRequire(import.meta.url);
const packages = ["@tensorflow/tfjs-core", "@tensorflow/tfjs-backend-cpu"];
const OFFER = {
  version: 1,
  name: "tfjs",
  dtypes: ["float32"],
  features: [],
  language: "JavaScript",
  packages: Object.fromEntries(packages.map((name) => [name, require(`${name}/package.json`).version])),
  default_eps: tf.train.adamax(1).getConfig().epsilon,
};

const view = (hex) => {
  const bytes = Buffer.from(hex, "hex");
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
};

function half(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

const widened = (bits) => new Float32Array(new Uint32Array([bits << 16]).buffer)[0];

const READ = {
  float16: [2, (data, at) => half(data.getUint16(at))],
  bfloat16: [2, (data, at) => widened(data.getUint16(at))],
  float32: [4, (data, at) => data.getFloat32(at)],
  float64: [8, (data, at) => data.getFloat64(at)],
};
const PARTS = { complex64: "float32", complex128: "float64" };

/** Return a tensor; TensorFlow.js has no wider real dtype than float32. */
function tensor({ dtype, shape, bits }) {
  const data = view(bits);
  const [size, read] = READ[PARTS[dtype] ?? dtype];
  const values = Array.from({ length: data.byteLength / size }, (_, i) => read(data, i * size));
  if (!(dtype in PARTS)) return tf.tensor(values, shape, "float32");
  const part = (which) => tf.tensor(values.filter((_, i) => i % 2 === which), shape, "float32");
  return tf.complex(part(0), part(1));
}

/** Return what the protocol calls an array. */
function array(of) {
  const values = of.dataSync();
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeFloatBE(value, 4 * i));
  return { dtype: of.dtype, shape: of.shape, bits: bytes.toString("hex") };
}

const each = (object, make) =>
  Object.fromEntries(Object.entries(object).map(([name, value]) => [name, make(value, name)]));

const number = (text) => view(text).getFloat64(0);
const hyperparameters = ({ lr, beta1, beta2, eps }) => ({
  learningRate: number(lr), beta1: number(beta1), beta2: number(beta2), epsilon: number(eps),
});

/** Return the moments under the names that the optimizer gave them, or zeros before it made them. */
function state(optimizer, variables) {
  const slot = (slots, name) =>
    slots.find(({ originalName }) => originalName === name)?.variable;
  return each(variables, (variable, name) => ({
    step: optimizer.iterations,
    exp_avg: array(slot(optimizer.accumulatedFirstMoment, `${name}/m`) ?? tf.zerosLike(variable)),
    exp_inf: array(slot(optimizer.accumulatedWeightedInfNorm, `${name}/v`) ?? tf.zerosLike(variable)),
  }));
}

function run({ hyperparameters: given, params, grads }) {
  const [first] = given.map(hyperparameters);
  const optimizer = tf.train.adamax(first.learningRate, first.beta1, first.beta2, first.epsilon);
  const variables = each(params, (param, name) => tf.variable(tensor(param), true, name));
  const initial = state(optimizer, variables);
  const records = grads.map((row, step) => {
    Object.assign(optimizer, hyperparameters(given[step]));
    optimizer.applyGradients(each(row, tensor));
    return { params: each(variables, array), state: state(optimizer, variables) };
  });
  return { initial, records };
}

function answer(request) {
  if (request.command === "hello") return OFFER;
  tf.engine().startScope();
  try {
    return run(request);
  } catch (error) {
    // TensorFlow.js refuses by an Error; one of another class is a fault.
    const kind = error.constructor === Error ? "value" : "internal";
    return { error: { kind, message: error.message || String(error) } };
  } finally {
    tf.engine().endScope();
    tf.disposeVariables();
  }
}

await tf.ready();
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.command === "stop") break;
  process.stdout.write(JSON.stringify({ id: request.id, ...answer(request) }) + "\n");
}
