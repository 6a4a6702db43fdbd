// A harness for an Adamax kernel in Rust, without crates.
//
//   rustc -O adamax_harness.rs
//   adamax-conformance check 'cmd:./adamax_harness'
//
// It reads one request per line from standard input and writes one answer per line to standard
// output; docs/protocol.md of adamax-spec describes both. Print anything else to standard error,
// with eprintln!. Replace `kernel`, a conformant kernel, with your own, and keep of `refuse` and
// `refuse_gradient` what your kernel refuses itself.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

const OFFER: &str = r#""version":1,"name":"adamax in Rust","dtypes":["float32","float64"],"features":["maximize","weight_decay","decoupled_weight_decay","undecayed","load"]"#;

#[derive(Clone, Copy)]
struct Hyperparameters {
    lr: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    weight_decay: f64,
    maximize: bool,
    decoupled_weight_decay: bool,
}

// ---- your kernel here ---------------------------------------------------------------------------

/// Fail if a hyperparameter is outside its domain.
fn refuse(hp: &Hyperparameters) -> Result<(), Failure> {
    let inf = f64::INFINITY;
    let domains = [
        ("lr", hp.lr, inf),
        ("beta1", hp.beta1, 1.0),
        ("beta2", hp.beta2, 1.0),
        ("eps", hp.eps, inf),
        ("weight_decay", hp.weight_decay, inf),
    ];
    for (name, value, limit) in domains {
        if !(0.0 <= value && value < limit) {
            let domain = format!("0 <= {name} < {limit:?}");
            return Err(refused(format!("{name} = {value:?} is outside its domain {domain}")));
        }
    }
    Ok(())
}

/// Fail if a gradient has another shape than its parameter.
fn refuse_gradient(grad: &Array, param: &Array) -> Result<(), Failure> {
    require_fit("a gradient", grad, param)
}

/// Take one step of one parameter, in place, in f64; the caller rounds once to the dtypes.
/// `step` is the number of steps before this one, and then with it.
fn kernel(
    param: &mut [f64],
    grad: &[f64],
    exp_avg: &mut [f64],
    exp_inf: &mut [f64],
    step: &mut i64,
    hp: &Hyperparameters,
) {
    *step += 1;
    let t = *step as f64;
    // 1 - beta1^t, without cancellation for a beta1 near one
    let correction = if hp.beta1 >= 0.5 {
        -(t * hp.beta1.ln()).exp_m1()
    } else {
        1.0 - hp.beta1.powf(t)
    };
    for i in 0..param.len() {
        let mut g = if hp.maximize { -grad[i] } else { grad[i] };
        if hp.weight_decay != 0.0 && !hp.decoupled_weight_decay {
            g += hp.weight_decay * param[i];
        }
        let m = hp.beta1 * exp_avg[i] + (1.0 - hp.beta1) * g;
        let (decayed, size) = (hp.beta2 * exp_inf[i], g.abs() + hp.eps);
        // f64::max would drop a NaN
        let u = if decayed >= size || decayed.is_nan() { decayed } else { size };
        let mut update = hp.lr / correction * (m / u);
        if hp.weight_decay != 0.0 && hp.decoupled_weight_decay {
            update += hp.lr * hp.weight_decay * param[i];
        }
        param[i] -= update;
        exp_avg[i] = m;
        exp_inf[i] = u;
    }
}

// ---- the JSON that messages need ----------------------------------------------------------------

/// An error to send as the answer: its kind and message.
struct Failure(&'static str, String);

fn refused(message: String) -> Failure {
    Failure("value", message)
}

fn internal(message: &str) -> Failure {
    Failure("internal", message.to_string())
}

#[derive(Clone)]
enum Json {
    Null,
    Bool(bool),
    Number(i64), // floats are sent as their bits
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    fn get(&self, key: &str) -> Result<&Json, Failure> {
        self.fields()?.get(key).ok_or_else(|| Failure("internal", format!("there is no {key}")))
    }
    fn fields(&self) -> Result<&BTreeMap<String, Json>, Failure> {
        if let Json::Object(fields) = self { Ok(fields) } else { Err(internal("not an object")) }
    }
    fn items(&self) -> Result<&[Json], Failure> {
        if let Json::List(items) = self { Ok(items) } else { Err(internal("not a list")) }
    }
    fn text(&self) -> Result<&str, Failure> {
        if let Json::Text(text) = self { Ok(text) } else { Err(internal("not a string")) }
    }
    fn number(&self) -> Result<i64, Failure> {
        if let Json::Number(number) = self { Ok(*number) } else { Err(internal("not a number")) }
    }
    fn truth(&self) -> Result<bool, Failure> {
        if let Json::Bool(truth) = self { Ok(*truth) } else { Err(internal("not true or false")) }
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<Json, Failure> {
        if self.next("{") {
            let mut fields = BTreeMap::new();
            while !self.next("}") {
                let key = self.string()?;
                self.take(":")?;
                fields.insert(key, self.read()?);
                self.next(",");
            }
            return Ok(Json::Object(fields));
        }
        if self.next("[") {
            let mut items = Vec::new();
            while !self.next("]") {
                items.push(self.read()?);
                self.next(",");
            }
            return Ok(Json::List(items));
        }
        for (word, json) in
            [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if self.next(word) {
                return Ok(json);
            }
        }
        if self.rest.starts_with('"') {
            return Ok(Json::Text(self.string()?));
        }
        let digits = |c: char| !(c.is_ascii_digit() || c == '-');
        let end = self.rest.find(digits).unwrap_or(self.rest.len());
        let number = self.rest[..end].parse().map_err(|_| internal("the message is not JSON"))?;
        self.rest = &self.rest[end..];
        Ok(Json::Number(number))
    }
    fn next(&mut self, token: &str) -> bool {
        self.rest = self.rest.trim_start();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }
    fn take(&mut self, token: &str) -> Result<(), Failure> {
        if self.next(token) { Ok(()) } else { Err(internal("the message is not JSON")) }
    }
    /// Names of parameters; escapes stay as they are, for the answer.
    fn string(&mut self) -> Result<String, Failure> {
        self.take("\"")?;
        let mut escaped = false;
        for (at, c) in self.rest.char_indices() {
            if c == '"' && !escaped {
                let text = self.rest[..at].to_string();
                self.rest = &self.rest[at + 1..];
                return Ok(text);
            }
            escaped = c == '\\' && !escaped;
        }
        Err(internal("the message ends too early"))
    }
}

// ---- arrays -------------------------------------------------------------------------------------

#[derive(Clone)]
struct Array {
    dtype: String,
    shape: Vec<i64>,
    values: Vec<f64>,
}

fn float16(bits: u64) -> f64 {
    let (exponent, fraction) = ((bits >> 10 & 31) as i32, (bits & 1023) as f64);
    let size = match exponent {
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        0 => fraction * 2f64.powi(-24),
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

fn bits_of(hex: &str) -> Result<u64, Failure> {
    u64::from_str_radix(hex, 16).map_err(|_| internal("the bits are not hexadecimal"))
}

/// A gradient may be narrower than its parameter.
fn decode(json: &Json) -> Result<Array, Failure> {
    let dtype = json.get("dtype")?.text()?.to_string();
    let (digits, of_bits): (usize, fn(u64) -> f64) = match dtype.as_str() {
        "float16" => (4, float16),
        "bfloat16" => (4, |bits| f32::from_bits((bits << 16) as u32) as f64),
        "float32" => (8, |bits| f32::from_bits(bits as u32) as f64),
        "float64" => (16, f64::from_bits),
        _ => return Err(refused(format!("an array of dtype {dtype}: must be real"))),
    };
    let hex = json.get("bits")?.text()?;
    let mut values = Vec::with_capacity(hex.len() / digits);
    for at in (0..hex.len()).step_by(digits) {
        values.push(of_bits(bits_of(&hex[at..at + digits])?));
    }
    let shape = json.get("shape")?.items()?.iter().map(Json::number).collect::<Result<_, _>>()?;
    Ok(Array { dtype, shape, values })
}

fn encode(array: &Array) -> String {
    let narrow = array.dtype == "float32";
    let bits = array.values.iter().map(|&x| {
        if narrow { format!("{:08x}", (x as f32).to_bits()) } else { format!("{:016x}", x.to_bits()) }
    });
    let shape: Vec<String> = array.shape.iter().map(i64::to_string).collect();
    format!(
        r#"{{"dtype":"{}","shape":[{}],"bits":"{}"}}"#,
        array.dtype,
        shape.join(","),
        bits.collect::<String>()
    )
}

fn round(array: &mut Array) {
    if array.dtype == "float32" {
        array.values.iter_mut().for_each(|x| *x = *x as f32 as f64);
    }
}

fn require_fit(what: &str, array: &Array, param: &Array) -> Result<(), Failure> {
    if array.shape == param.shape {
        return Ok(());
    }
    Err(refused(format!("{what} has shape {:?}, its parameter {:?}", array.shape, param.shape)))
}

// ---- the harness --------------------------------------------------------------------------------

struct Slot {
    step: i64,
    exp_avg: Array,
    exp_inf: Array,
}

fn hyperparameters(json: &Json) -> Result<Hyperparameters, Failure> {
    let number = |name| Ok(f64::from_bits(bits_of(json.get(name)?.text()?)?));
    Ok(Hyperparameters {
        lr: number("lr")?,
        beta1: number("beta1")?,
        beta2: number("beta2")?,
        eps: number("eps")?,
        weight_decay: number("weight_decay")?,
        maximize: json.get("maximize")?.truth()?,
        decoupled_weight_decay: json.get("decoupled_weight_decay")?.truth()?,
    })
}

/// Return the state before the first step: zeros, or the saved state.
fn begin(name: &str, param: &Array, saved: &Json) -> Result<Slot, Failure> {
    if let Json::Null = saved {
        let zero = Array { values: vec![0.0; param.values.len()], ..param.clone() };
        return Ok(Slot { step: 0, exp_avg: zero.clone(), exp_inf: zero });
    }
    let saved = saved.get(name)?;
    let keys: Vec<&String> = saved.fields()?.keys().collect();
    if keys != ["exp_avg", "exp_inf", "step"] {
        return Err(refused(format!("the state of {name} has {keys:?}: not that of Adamax")));
    }
    let (exp_avg, exp_inf) = (decode(saved.get("exp_avg")?)?, decode(saved.get("exp_inf")?)?);
    require_fit("exp_avg", &exp_avg, param)?;
    require_fit("exp_inf", &exp_inf, param)?;
    Ok(Slot { step: saved.get("step")?.number()?, exp_avg, exp_inf })
}

fn object<T>(fields: &BTreeMap<String, T>, show: impl Fn(&T) -> String) -> String {
    let shown: Vec<String> =
        fields.iter().map(|(name, field)| format!(r#""{name}":{}"#, show(field))).collect();
    format!("{{{}}}", shown.join(","))
}

fn show_state(slots: &BTreeMap<String, Slot>) -> String {
    object(slots, |slot| {
        format!(
            r#"{{"step":{},"exp_avg":{},"exp_inf":{}}}"#,
            slot.step,
            encode(&slot.exp_avg),
            encode(&slot.exp_inf)
        )
    })
}

fn run(request: &Json) -> Result<String, Failure> {
    let (mut params, mut slots) = (BTreeMap::new(), BTreeMap::new());
    for (name, json) in request.get("params")?.fields()? {
        let param = decode(json)?;
        if param.dtype != "float32" && param.dtype != "float64" {
            return Err(refused(format!("{name} has dtype {}", param.dtype)));
        }
        slots.insert(name.clone(), begin(name, &param, request.get("state")?)?);
        params.insert(name.clone(), param);
    }
    let hps = request.get("hyperparameters")?.items()?;
    let hps = hps.iter().map(hyperparameters).collect::<Result<Vec<_>, _>>()?;
    hps.iter().try_for_each(refuse)?;
    let undecayed = request.get("undecayed")?.items()?;
    let undecayed = undecayed.iter().map(Json::text).collect::<Result<Vec<_>, _>>()?;
    let initial = show_state(&slots);
    let mut records = Vec::new();
    for (documents, hp) in request.get("grads")?.items()?.iter().zip(&hps) {
        let mut grads = BTreeMap::new();
        for (name, json) in documents.fields()? {
            let grad = decode(json)?;
            let param = params.get(name).ok_or_else(|| refused(format!("no parameter {name}")))?;
            refuse_gradient(&grad, param)?;
            grads.insert(name, grad);
        }
        for (name, grad) in grads {
            // A parameter without a gradient stays as it is.
            let (param, slot) = (params.get_mut(name).unwrap(), slots.get_mut(name).unwrap());
            let decay = if undecayed.contains(&name.as_str()) { 0.0 } else { hp.weight_decay };
            let own = Hyperparameters { weight_decay: decay, ..*hp };
            kernel(
                &mut param.values,
                &grad.values,
                &mut slot.exp_avg.values,
                &mut slot.exp_inf.values,
                &mut slot.step,
                &own,
            );
            round(param);
            round(&mut slot.exp_avg);
            round(&mut slot.exp_inf);
        }
        records.push(format!(
            r#"{{"params":{},"state":{}}}"#,
            object(&params, encode),
            show_state(&slots)
        ));
    }
    Ok(format!(r#""initial":{initial},"records":[{}]"#, records.join(",")))
}

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let answer = Reader { rest: &line }.read().and_then(|request| {
            let command = request.get("command")?.text()?.to_string();
            let id = if command == "stop" { 0 } else { request.get("id")?.number()? };
            Ok((id, command, request))
        });
        let (id, answer) = match answer {
            Ok((_, command, _)) if command == "stop" => return Ok(()),
            Ok((id, command, _)) if command == "hello" => (id.to_string(), Ok(OFFER.to_string())),
            Ok((id, _, request)) => (id.to_string(), run(&request)),
            Err(failure) => ("null".to_string(), Err(failure)),
        };
        let answer = answer.unwrap_or_else(|Failure(kind, message)| {
            let message = message.replace('\\', "\\\\").replace('"', "\\\"");
            format!(r#""error":{{"kind":"{kind}","message":"{message}"}}"#)
        });
        let mut out = io::stdout().lock();
        writeln!(out, r#"{{"id":{id},{answer}}}"#)?;
        out.flush()?;
    }
    Ok(())
}
