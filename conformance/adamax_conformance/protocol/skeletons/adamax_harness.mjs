// A harness for an Adamax kernel, judged by: adamax-conformance check 'cmd:node adamax_harness.mjs'
//
// It reads one request per line from standard input and writes one answer per line to standard
// output; docs/protocol.md of adamax-spec describes both. Print anything else to standard error,
// with console.error. Replace `kernel`, a conformant kernel, with your own, and keep of `refuse` and
// `refuseGradient` what your kernel refuses itself.

import { createInterface } from "node:readline";

const OFFER = {
  version: 1,
  name: "adamax in JavaScript",
  dtypes: ["float32", "float64"],
  features: ["maximize", "weight_decay", "decoupled_weight_decay", "undecayed", "load"],
};
const DOMAINS = { lr: Infinity, beta1: 1, beta2: 1, eps: Infinity, weight_decay: Infinity };

/** An argument is invalid; the message shows its value and domain. */
class Refused extends Error {}

// ---- your kernel here ---------------------------------------------------------------------------

/** Throw if a hyperparameter is outside its domain. */
function refuse(hp) {
  for (const [name, limit] of Object.entries(DOMAINS))
    if (!(hp[name] >= 0 && hp[name] < limit))
      throw new Refused(
        `${name} = ${shown(hp[name])} is outside its domain 0 <= ${name} < ${limit}`,
      );
}

/** Throw if a gradient has another shape than its parameter. */
function refuseGradient(shape, expected) {
  if (JSON.stringify(shape) !== JSON.stringify(expected))
    throw new Refused(`a gradient has shape [${shape}], its parameter [${expected}]`);
}

/**
 * Take one step of one parameter; return count, parameter, first moment and infinity norm.
 *
 * param, grad, m and u are Float64Array; the caller rounds the results once to their dtypes. `step`
 * is the number of steps before this one.
 */
function kernel(param, grad, m, u, step, hp) {
  const t = step + 1;
  // 1 - beta1^t, without cancellation for a beta1 near one
  const correction =
    hp.beta1 >= 0.5 ? -Math.expm1(t * Math.log(hp.beta1)) : 1 - hp.beta1 ** t;
  const after = { step: t, param: param.slice(), exp_avg: m.slice(), exp_inf: u.slice() };
  for (let i = 0; i < param.length; i++) {
    let g = hp.maximize ? -grad[i] : grad[i];
    if (hp.weight_decay !== 0 && !hp.decoupled_weight_decay) g += hp.weight_decay * param[i];
    after.exp_avg[i] = hp.beta1 * m[i] + (1 - hp.beta1) * g;
    after.exp_inf[i] = Math.max(hp.beta2 * u[i], Math.abs(g) + hp.eps); // NaN propagates
    let update = (hp.lr / correction) * (after.exp_avg[i] / after.exp_inf[i]);
    if (hp.weight_decay !== 0 && hp.decoupled_weight_decay)
      update += hp.lr * hp.weight_decay * param[i];
    after.param[i] = param[i] - update;
  }
  return after;
}

// ---- the harness --------------------------------------------------------------------------------

const view = (hex) => {
  const bytes = Buffer.from(hex, "hex");
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
};

/** Decode a float16 from its sixteen bits. */
function half(bits) {
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

/** Decode a bfloat16, the upper half of a float32. */
function widened(bits) {
  return new Float32Array(new Uint32Array([bits << 16]).buffer)[0];
}

// A gradient may be narrower than its parameter; parameters and state have the dtypes of OFFER.
const READ = {
  float16: [2, (data, at) => half(data.getUint16(at))],
  bfloat16: [2, (data, at) => widened(data.getUint16(at))],
  float32: [4, (data, at) => data.getFloat32(at)],
  float64: [8, (data, at) => data.getFloat64(at)],
};

function decode({ dtype, shape, bits }) {
  if (!(dtype in READ)) throw new Refused(`an array of dtype ${dtype}: must be real`);
  const [size, read] = READ[dtype];
  const data = view(bits);
  const values = Float64Array.from({ length: data.byteLength / size }, (_, i) =>
    read(data, i * size),
  );
  return { dtype, shape, values };
}

function encode({ dtype, shape, values }) {
  const size = READ[dtype][0];
  const bytes = Buffer.alloc(size * values.length);
  values.forEach((x, i) =>
    size === 4 ? bytes.writeFloatBE(x, 4 * i) : bytes.writeDoubleBE(x, 8 * i),
  );
  return { dtype, shape, bits: bytes.toString("hex") };
}

/** Round values to the dtype of an array and give them its shape. */
const rounded = (like, values) => ({
  ...like,
  values: like.dtype === "float32" ? Float64Array.from(values, Math.fround) : values,
});

/** Format a number with a decimal point, for messages. */
const shown = (x) => (Number.isInteger(x) ? x.toFixed(1) : String(x));

function hyperparameters(document) {
  const hp = { ...document };
  for (const name of Object.keys(DOMAINS)) hp[name] = view(document[name]).getFloat64(0);
  return hp;
}

/** Refuse a shape that would need broadcasting. */
function requireFit(what, array, param) {
  if (String(array.shape) !== String(param.shape) || array.shape.length !== param.shape.length)
    throw new Refused(`${what} has shape [${array.shape}], its parameter [${param.shape}]`);
}

/** Return the state before the first step: zeros, or the saved state. */
function begin(param, name, saved) {
  const zero = { ...param, values: new Float64Array(param.values.length) };
  if (saved === null) return { step: 0, exp_avg: zero, exp_inf: zero };
  const slot = saved[name];
  if (Object.keys(slot).sort().join() !== "exp_avg,exp_inf,step")
    throw new Refused(`the state of ${name} has ${Object.keys(slot)}: not that of Adamax`);
  const loaded = { step: slot.step, exp_avg: decode(slot.exp_avg), exp_inf: decode(slot.exp_inf) };
  requireFit(`exp_avg of ${name}`, loaded.exp_avg, param);
  requireFit(`exp_inf of ${name}`, loaded.exp_inf, param);
  return loaded;
}

const each = (object, make) =>
  Object.fromEntries(Object.entries(object).map(([name, value]) => [name, make(value, name)]));

const showState = (slots) =>
  each(slots, ({ step, exp_avg, exp_inf }) => ({
    step,
    exp_avg: encode(exp_avg),
    exp_inf: encode(exp_inf),
  }));

function run(request) {
  const params = each(request.params, decode);
  for (const [name, { dtype }] of Object.entries(params))
    if (!OFFER.dtypes.includes(dtype)) throw new Refused(`${name} has dtype ${dtype}`);
  const hps = request.hyperparameters.map(hyperparameters);
  hps.forEach(refuse);
  const slots = each(params, (param, name) => begin(param, name, request.state));
  const initial = showState(slots);
  const records = request.grads.map((documents, step) => {
    const grads = each(documents, decode);
    for (const name in grads) refuseGradient(grads[name].shape, params[name].shape);
    // A parameter without a gradient stays as it is.
    for (const [name, grad] of Object.entries(grads)) {
      const slot = slots[name];
      const hp = { ...hps[step] };
      if (request.undecayed.includes(name)) hp.weight_decay = 0;
      const after = kernel(
        params[name].values, grad.values, slot.exp_avg.values, slot.exp_inf.values, slot.step, hp,
      ); // prettier-ignore
      params[name] = rounded(params[name], after.param);
      slots[name] = {
        step: after.step,
        exp_avg: rounded(slot.exp_avg, after.exp_avg),
        exp_inf: rounded(slot.exp_inf, after.exp_inf),
      };
    }
    return { params: each(params, encode), state: showState(slots) };
  });
  return { initial, records };
}

function answer(request) {
  try {
    return request.command === "hello" ? OFFER : run(request);
  } catch (error) {
    const kind = error instanceof Refused ? "value" : "internal";
    return { error: { kind, message: error.message || String(error) } };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  if (request.command === "stop") break;
  process.stdout.write(JSON.stringify({ id: request.id, ...answer(request) }) + "\n");
}
