// A harness for an Adamax kernel in C++17, without libraries.
//
//   g++ -std=c++17 -O2 -ffp-contract=off -o adamax_harness adamax_harness.cpp
//   adamax-conformance check 'cmd:./adamax_harness'
//
// It reads one request per line from standard input and writes one answer per line to standard
// output; docs/protocol.md of adamax-spec describes both. Print anything else to standard error.
// Replace `kernel`, a conformant kernel, with your own, and keep of `refuse` and `refuse_gradient`
// what your kernel refuses itself. (No -ffast-math: NaN must propagate.)

#include <cmath>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Hyperparameters {
    double lr, beta1, beta2, eps, weight_decay;
    bool maximize, decoupled_weight_decay;
};

struct Refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::string shown(double value) {
    if (std::isnan(value)) return "nan";
    std::ostringstream out;
    out << value;
    return out.str().find_first_of(".en") == std::string::npos ? out.str() + ".0" : out.str();
}

// ---- your kernel here ---------------------------------------------------------------------------

void refuse_outside(const std::string& name, double value, double limit) {
    if (!(0 <= value && value < limit))
        throw Refused(name + " = " + shown(value) + " is outside its domain 0 <= " + name + " < " +
                      shown(limit));
}

// Throw if a hyperparameter is outside its domain.
void refuse(const Hyperparameters& hp) {
    const double inf = std::numeric_limits<double>::infinity();
    refuse_outside("lr", hp.lr, inf);
    refuse_outside("beta1", hp.beta1, 1);
    refuse_outside("beta2", hp.beta2, 1);
    refuse_outside("eps", hp.eps, inf);
    refuse_outside("weight_decay", hp.weight_decay, inf);
}

// Throw if a gradient has another shape than its parameter.
void refuse_gradient(const std::vector<std::int64_t>& shape,
                     const std::vector<std::int64_t>& expected) {
    if (shape != expected) throw Refused("a gradient has another shape than its parameter");
}

// Take one step of one parameter, in place; T is float or double. `step` is the number of steps
// before this one, and then with it. The arithmetic is float64, rounded once to T.
template <class T>
void kernel(std::vector<T>& param, const std::vector<double>& grad, std::vector<T>& exp_avg,
            std::vector<T>& exp_inf, std::int64_t& step, const Hyperparameters& hp) {
    const double t = static_cast<double>(++step);
    // 1 - beta1^t, without cancellation for a beta1 near one
    const double correction = hp.beta1 >= 0.5 ? -std::expm1(t * std::log(hp.beta1))
                                              : 1 - std::pow(hp.beta1, t);
    for (std::size_t i = 0; i < param.size(); ++i) {
        const double p = param[i];
        double g = hp.maximize ? -grad[i] : grad[i];
        if (hp.weight_decay != 0 && !hp.decoupled_weight_decay) g += hp.weight_decay * p;
        const double m = hp.beta1 * exp_avg[i] + (1 - hp.beta1) * g;
        const double decayed = hp.beta2 * exp_inf[i], size = std::abs(g) + hp.eps;
        const double u = decayed >= size || std::isnan(decayed) ? decayed : size;
        double update = hp.lr / correction * (m / u);
        if (hp.weight_decay != 0 && hp.decoupled_weight_decay)
            update += hp.lr * hp.weight_decay * p;
        param[i] = static_cast<T>(p - update);
        exp_avg[i] = static_cast<T>(m);
        exp_inf[i] = static_cast<T>(u);
    }
}

// ---- the JSON that messages need ----------------------------------------------------------------

struct Json {
    enum Kind { Null, Bool, Number, String, List, Object } kind = Null;
    bool truth = false;
    std::int64_t number = 0;  // floats are sent as their bits
    std::string text;
    std::vector<Json> items;
    std::map<std::string, Json> fields;

    const Json& operator[](const std::string& key) const {
        const auto found = fields.find(key);
        if (found == fields.end()) throw std::runtime_error("there is no " + key);
        return found->second;
    }
};

class Reader {
  public:
    explicit Reader(const std::string& line) : at_(line.c_str()) {}

    Json read() {
        Json json;
        const char first = peek();
        if (first == '{') {
            json.kind = Json::Object;
            for (take('{'); !next('}'); next(',')) {
                std::string key = string();
                take(':');
                json.fields[key] = read();
            }
        } else if (first == '[') {
            json.kind = Json::List;
            for (take('['); !next(']'); next(',')) json.items.push_back(read());
        } else if (first == '"') {
            json.kind = Json::String;
            json.text = string();
        } else if (first == 't' || first == 'f') {
            json.kind = Json::Bool;
            json.truth = first == 't';
            word(json.truth ? "true" : "false");
        } else if (first == 'n') {
            word("null");
        } else {
            json.kind = Json::Number;
            char* end;
            json.number = std::strtoll(at_, &end, 10);
            if (end == at_) throw std::runtime_error("the message is not JSON");
            at_ = end;
        }
        return json;
    }

  private:
    char peek() {
        while (*at_ == ' ' || *at_ == '\t' || *at_ == '\r') ++at_;
        return *at_;
    }
    bool next(char c) {
        if (peek() != c) {
            if (*at_ == '\0') throw std::runtime_error("the message ends too early");
            return false;
        }
        ++at_;
        return true;
    }
    void take(char c) {
        if (!next(c)) throw std::runtime_error(std::string("the message has no ") + c);
    }
    void word(const char* expected) {
        const std::size_t length = std::strlen(expected);
        if (std::strncmp(at_, expected, length) != 0)
            throw std::runtime_error("the message is not JSON");
        at_ += length;
    }
    std::string string() {  // names of parameters; escapes are kept as they are, for the answer
        take('"');
        const char* begin = at_;
        while (*at_ != '"' && *at_ != '\0') at_ += *at_ == '\\' && at_[1] != '\0' ? 2 : 1;
        std::string text(begin, at_);
        take('"');
        return text;
    }

    const char* at_;
};

// ---- arrays -------------------------------------------------------------------------------------

std::uint64_t bits_at(const std::string& hex, std::size_t digit, std::size_t count) {
    return std::stoull(hex.substr(digit, count), nullptr, 16);
}

double float64_of(std::uint64_t bits) {
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

double float32_of(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

double float16_of(std::uint32_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    double value = exponent ? std::ldexp(1024 + fraction, exponent - 25) : std::ldexp(fraction, -24);
    if (exponent == 31)
        value = fraction ? std::numeric_limits<double>::quiet_NaN()
                         : std::numeric_limits<double>::infinity();
    return bits >> 15 ? -value : value;
}

struct Array {
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::vector<double> values;
};

// A gradient may be narrower than its parameter.
Array decode(const Json& json) {
    Array array{json["dtype"].text, {}, {}};
    const std::string &dtype = array.dtype, &hex = json["bits"].text;
    const std::size_t digits = dtype == "float64" ? 16 : dtype == "float32" ? 8
                               : dtype == "float16" || dtype == "bfloat16" ? 4 : 0;
    if (!digits) throw Refused("an array of dtype " + dtype + ": must be real");
    for (const Json& n : json["shape"].items) array.shape.push_back(n.number);
    for (std::size_t at = 0; at < hex.size(); at += digits) {
        const std::uint64_t bits = bits_at(hex, at, digits);
        array.values.push_back(digits == 16        ? float64_of(bits)
                               : digits == 8       ? float32_of(static_cast<std::uint32_t>(bits))
                               : dtype == "float16" ? float16_of(static_cast<std::uint32_t>(bits))
                                                   : float32_of(static_cast<std::uint32_t>(bits) << 16));
    }
    return array;
}

std::string encode(const Array& array) {
    std::string out = "{\"dtype\":\"" + array.dtype + "\",\"shape\":[";
    for (std::size_t i = 0; i < array.shape.size(); ++i)
        out += (i ? "," : "") + std::to_string(array.shape[i]);
    out += "],\"bits\":\"";
    const bool wide = array.dtype == "float64";
    for (const double value : array.values) {
        const float narrow = static_cast<float>(value);
        std::uint64_t bits = 0;
        std::uint32_t low = 0;
        std::memcpy(&bits, &value, sizeof bits);
        std::memcpy(&low, &narrow, sizeof low);
        if (!wide) bits = low;
        for (int shift = wide ? 60 : 28; shift >= 0; shift -= 4)
            out += "0123456789abcdef"[bits >> shift & 15];
    }
    return out + "\"}";
}

std::string shape_of(const Array& array) {
    std::string out = "(";
    for (const std::int64_t n : array.shape) out += std::to_string(n) + ",";
    return out + ")";
}

void require_fit(const std::string& what, const Array& array, const Array& param) {
    if (array.shape != param.shape)
        throw Refused(what + " has shape " + shape_of(array) + ", its parameter " + shape_of(param));
}

// ---- the harness --------------------------------------------------------------------------------

const char* const OFFER =
    "\"version\":1,\"name\":\"adamax in C++\",\"dtypes\":[\"float32\",\"float64\"],"
    "\"features\":[\"maximize\",\"weight_decay\",\"decoupled_weight_decay\",\"undecayed\",\"load\"]";

struct Slot {
    std::int64_t step;
    Array exp_avg, exp_inf;
};
using Arrays = std::map<std::string, Array>;
using Slots = std::map<std::string, Slot>;

Hyperparameters hyperparameters(const Json& json) {
    const auto number = [&json](const char* name) {
        return float64_of(bits_at(json[name].text, 0, 16));
    };
    return {number("lr"),  number("beta1"),        number("beta2"),
            number("eps"), number("weight_decay"), json["maximize"].truth,
            json["decoupled_weight_decay"].truth};
}

// Return the state before the first step: zeros, or the saved state.
Slot begin(const std::string& name, const Array& param, const Json& saved) {
    const Array zero{param.dtype, param.shape, std::vector<double>(param.values.size(), 0.0)};
    if (saved.kind == Json::Null) return {0, zero, zero};
    const auto& fields = saved[name].fields;
    if (fields.size() != 3 || !fields.count("step") || !fields.count("exp_avg") ||
        !fields.count("exp_inf"))
        throw Refused("the state of " + name + " is not step, exp_avg and exp_inf: not Adamax's");
    Slot slot{saved[name]["step"].number, decode(saved[name]["exp_avg"]),
              decode(saved[name]["exp_inf"])};
    require_fit("exp_avg of " + name, slot.exp_avg, param);
    require_fit("exp_inf of " + name, slot.exp_inf, param);
    return slot;
}

template <class T>
void step_in(Array& param, const Array& grad, Slot& slot, const Hyperparameters& hp) {
    const auto typed = [](const Array& a) { return std::vector<T>(a.values.begin(), a.values.end()); };
    std::vector<T> p = typed(param), m = typed(slot.exp_avg), u = typed(slot.exp_inf);
    kernel<T>(p, grad.values, m, u, slot.step, hp);
    param.values.assign(p.begin(), p.end());
    slot.exp_avg.values.assign(m.begin(), m.end());
    slot.exp_inf.values.assign(u.begin(), u.end());
}

std::string encode(const Arrays& arrays) {
    std::string out;
    for (const auto& [name, array] : arrays)
        out += (out.empty() ? "" : ",") + ("\"" + name + "\":" + encode(array));
    return "{" + out + "}";
}

std::string encode(const Slots& slots) {
    std::string out;
    for (const auto& [name, slot] : slots)
        out += (out.empty() ? "" : ",") + ("\"" + name + "\":{\"step\":" + std::to_string(slot.step) +
               ",\"exp_avg\":" + encode(slot.exp_avg) + ",\"exp_inf\":" + encode(slot.exp_inf) + "}");
    return "{" + out + "}";
}

std::string run(const Json& request) {
    Arrays params;
    Slots slots;
    std::set<std::string> undecayed;
    std::vector<Hyperparameters> hps;
    for (const auto& [name, json] : request["params"].fields) {
        params[name] = decode(json);
        if (params[name].dtype != "float32" && params[name].dtype != "float64")
            throw Refused(name + " has dtype " + params[name].dtype);
        slots[name] = begin(name, params[name], request["state"]);
    }
    for (const Json& json : request["hyperparameters"].items) hps.push_back(hyperparameters(json));
    for (const Hyperparameters& hp : hps) refuse(hp);
    for (const Json& name : request["undecayed"].items) undecayed.insert(name.text);
    std::string records;
    const std::string initial = encode(slots);
    for (std::size_t step = 0; step < request["grads"].items.size(); ++step) {
        Arrays grads;
        for (const auto& [name, json] : request["grads"].items[step].fields) {
            grads[name] = decode(json);
            refuse_gradient(grads[name].shape, params.at(name).shape);
        }
        for (const auto& [name, grad] : grads) {  // a parameter without a gradient stays as it is
            Hyperparameters hp = hps[step];
            if (undecayed.count(name)) hp.weight_decay = 0;
            if (params[name].dtype == "float32")
                step_in<float>(params[name], grad, slots[name], hp);
            else
                step_in<double>(params[name], grad, slots[name], hp);
        }
        records += (step ? "," : "") + ("{\"params\":" + encode(params)) + ",\"state\":" +
                   encode(slots) + "}";
    }
    return "\"initial\":" + initial + ",\"records\":[" + records + "]";
}

std::string failure(const std::string& kind, const std::string& message) {
    std::string text;
    for (const char c : message)
        if (c == '"' || c == '\\') text += std::string("\\") + c;
        else text += c;
    return "\"error\":{\"kind\":\"" + kind + "\",\"message\":\"" + text + "\"}";
}

int main() {
    std::ios::sync_with_stdio(false);
    for (std::string line; std::getline(std::cin, line);) {
        const Json request = Reader(line).read();
        if (request["command"].text == "stop") return 0;
        std::string answer;
        try {
            answer = request["command"].text == "hello" ? OFFER : run(request);
        } catch (const Refused& refused) {
            answer = failure("value", refused.what());
        } catch (const std::exception& error) {
            answer = failure("internal", error.what());
        }
        std::cout << "{\"id\":" << request["id"].number << ',' << answer << '}' << std::endl;
    }
}
