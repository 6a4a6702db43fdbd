// Reads exported vectors without Python, by GUIDE.md alone, and runs a plain
// Adamax on them: every operation rounded to float32 by Math.fround, or not at all in float64.
//
//     node vectors_reader.mjs DIR [inside|outside]      the place of eps; outside is wrong
//
// Prints {"ran", "skipped", "wrong": [[id, what], ...]}.

import { readFileSync } from "node:fs";
import { join } from "node:path";

const [folder, eps = "inside"] = process.argv.slice(2);

const number = (hex) => Buffer.from(hex, "hex").readDoubleBE(0);

function half(bytes, at) {
  const bits = bytes.readUInt16BE(at);
  const sign = bits >> 15 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : sign * 2 ** -24 * fraction;
}

const FORMATS = {
  float16: [2, half, null],
  float32: [4, (bytes, at) => bytes.readFloatBE(at), Math.fround],
  float64: [8, (bytes, at) => bytes.readDoubleBE(at), (x) => x],
};
FORMATS.complex64 = FORMATS.float32;
FORMATS.complex128 = FORMATS.float64;

// The numbers of an array, a complex one as pairs, and how its dtype rounds.
function decode({ dtype, shape, bits }) {
  const [size, read, round] = FORMATS[dtype];
  const bytes = Buffer.from(bits, "hex");
  const reals = Array.from({ length: bytes.length / size }, (_, i) => read(bytes, i * size));
  return { kind: dtype.startsWith("complex") ? "complex" : "real", shape, reals, round };
}

const each = (object, f) =>
  Object.fromEntries(Object.entries(object).map(([name, value]) => [name, f(value)]));

function hyperparameters(raw) {
  const [lr, b1, b2, epsilon, wd] =
    ["lr", "beta1", "beta2", "eps", "weight_decay"].map((name) => number(raw[name]));
  const inside = (x, end) => x >= 0 && x < end;
  if (![[lr, Infinity], [b1, 1], [b2, 1], [epsilon, Infinity], [wd, Infinity]]
    .every(([x, end]) => inside(x, end))) throw new RangeError("a hyperparameter");
  return { lr, b1, b2, eps: epsilon, wd, maximize: raw.maximize,
           decoupled: raw.decoupled_weight_decay };
}

// One parameter, one step.
function step(p, g, s, hp) {
  if (g.kind !== p.kind || `${g.shape}` !== `${p.shape}`) throw new TypeError("a gradient");
  const f = p.round, t = s.step + 1;
  const c = hp.b1 ? -Math.expm1(t * Math.log(hp.b1)) : 1;
  const { lr, b1, b2, wd } = hp;
  const next = { p: [], m: [], u: [] };
  p.reals.forEach((old, i) => {
    let grad = f(hp.maximize ? -g.reals[i] : g.reals[i]);
    if (wd && !hp.decoupled) grad = f(grad + f(wd * old));
    const m = f(f(b1 * s.m[i]) + f((1 - b1) * grad));
    const size = Math.abs(grad);
    const u = Math.max(f(b2 * s.u[i]), eps === "inside" ? f(size + hp.eps) : size);
    const below = eps === "inside" ? u : f(u + hp.eps);
    let stepped = f(old - f(f(lr / c) * f(m / below)));
    if (wd && hp.decoupled) stepped = f(stepped - f(lr * wd * old));
    next.p.push(stepped); next.m.push(m); next.u.push(u);
  });
  return [{ ...p, reals: next.p }, { step: t, m: next.m, u: next.u }];
}

function right(got, allowed) {
  if (allowed === null) return true;
  switch (allowed.special) {
    case "nan": return Number.isNaN(got);
    case "inf": return got === Infinity;
    case "-inf": return got === -Infinity;
    case "not finite": return !Number.isFinite(got);
    default: return number(allowed.low) <= got && got <= number(allowed.high);
  }
}

function begin(run) {
  const params = each(run.params, decode);
  if (run.state) {
    return [params, each(run.state, (s) =>
      ({ step: s.step, m: decode(s.exp_avg).reals, u: decode(s.exp_inf).reals }))];
  }
  return [params, each(params, (p) =>
    ({ step: 0, m: p.reals.map(() => 0), u: p.reals.map(() => 0) }))];
}

// What the parameters and the state are after each step.
function* trajectory(run) {
  let [params, state] = begin(run);
  for (const [i, grads] of run.grads.entries()) {
    const hp = hyperparameters(run.hyperparameters[i]);
    for (const [name, grad] of Object.entries(grads)) {
      const own = run.undecayed.includes(name) ? { ...hp, wd: 0 } : hp;
      const [p, s] = step(params[name], decode(grad), state[name], own);
      params = { ...params, [name]: p };
      state = { ...state, [name]: s };
    }
    yield [params, state];
  }
}

function problem({ trial: { run }, expected }) {
  if (expected.refused) {
    try { for (const _ of trajectory(run)); } catch { return null; }
    return "not refused";
  }
  let i = 0;
  for (const [params, state] of trajectory(run)) {
    for (const [name, e] of Object.entries(expected.steps[i])) {
      if (state[name].step !== e.step) return `step ${i + 1}, ${name}: the count`;
      const got = { param: params[name].reals, exp_avg: state[name].m, exp_inf: state[name].u };
      for (const [quantity, reals] of Object.entries(got)) {
        for (const [k, allowed] of (e[quantity] ?? []).entries()) {
          if (!right(reals[k], allowed)) return `step ${i + 1}, ${name}, ${quantity}[${k}]`;
        }
      }
    }
    i += 1;
  }
  return i === expected.steps.length ? null : "the number of steps";
}

const report = { ran: 0, skipped: 0, wrong: [] };
for (const line of readFileSync(join(folder, "vectors.jsonl"), "utf8").trimEnd().split("\n")) {
  const vector = JSON.parse(line);
  const dtypes = Object.values(vector.trial.run.params).map((param) => param.dtype);
  if (!dtypes.every((dtype) => FORMATS[dtype]?.[2])) { report.skipped += 1; continue; }
  report.ran += 1;
  const what = problem(vector);
  if (what !== null) report.wrong.push([vector.id, what]);
}
console.log(JSON.stringify(report));
