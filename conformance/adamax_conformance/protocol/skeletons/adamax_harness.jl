# A harness for an Adamax kernel in Julia, without packages; unlike those of the other languages it is
# not run in the tests of adamax-spec.
#
#   adamax-conformance check 'cmd:julia --startup-file=no adamax_harness.jl' --timeout 60
#
# It reads a request a line from the standard input and answers with a line on the standard output,
# as docs/protocol.md of adamax-spec says. The standard error is free: println(stderr, ...). Put your
# kernel where `kernel` is; what is there now is meant to be a right one.

const OFFER = "\"version\":1,\"name\":\"adamax in Julia\",\"dtypes\":[\"float32\",\"float64\"]," *
    "\"features\":[\"maximize\",\"weight_decay\",\"decoupled_weight_decay\",\"undecayed\",\"load\"]"
const DOMAINS = ["lr" => Inf, "beta1" => 1.0, "beta2" => 1.0, "eps" => Inf, "weight_decay" => Inf]

"An argument is not accepted; the message shows it, and what would be."
struct Refused <: Exception
    message::String
end

# ---- your kernel here -----------------------------------------------------------------------------

"""
One step of one parameter: the new parameter, first moment and infinity norm, in Float64; whoever
calls this rounds them once to their dtypes. `step` is the number of steps before this one.
"""
function kernel(param, grad, exp_avg, exp_inf, step, hp)
    lr, beta1, beta2, eps, decay = (hp[name] for (name, _) in DOMAINS)
    decoupled, t = hp["decoupled_weight_decay"], step + 1
    # 1 - beta1^t, which would cancel for a beta1 near one
    correction = beta1 >= 0.5 ? -expm1(t * log(beta1)) : 1 - beta1^t
    g = hp["maximize"] ? -grad : grad
    if decay != 0 && !decoupled
        g = g .+ decay .* param
    end
    m = beta1 .* exp_avg .+ (1 - beta1) .* g
    u = max.(beta2 .* exp_inf, abs.(g) .+ eps)  # NaN propagates
    update = (lr / correction) .* (m ./ u)
    if decay != 0 && decoupled
        update = update .+ (lr * decay) .* param
    end
    return param .- update, m, u
end

# ---- JSON, as much as is needed -------------------------------------------------------------------

mutable struct Reader
    text::String
    at::Int
end

function peek_char(r::Reader)
    while r.text[r.at] in (' ', '\t', '\r')
        r.at += 1
    end
    return r.text[r.at]
end

function take_char(r::Reader, c)
    peek_char(r) == c || error("the message is not JSON: no $c")
    r.at += 1
end

"Names of parameters; escapes are kept as they are, for the answer."
function read_string(r::Reader)
    take_char(r, '"')
    first, escaped = r.at, false
    while r.text[r.at] != '"' || escaped
        escaped = r.text[r.at] == '\\' && !escaped
        r.at = nextind(r.text, r.at)
    end
    text = r.text[first:prevind(r.text, r.at)]
    r.at += 1
    return text
end

function read_many(r::Reader, last, read_one)
    r.at += 1
    while peek_char(r) != last
        read_one()
        peek_char(r) == ',' && (r.at += 1)
    end
    r.at += 1
end

function read_json(r::Reader)
    c = peek_char(r)
    if c == '{'
        fields = Dict{String,Any}()
        read_many(r, '}', () -> begin
            key = read_string(r)
            take_char(r, ':')
            fields[key] = read_json(r)
        end)
        return fields
    elseif c == '['
        items = Any[]
        read_many(r, ']', () -> push!(items, read_json(r)))
        return items
    elseif c == '"'
        return read_string(r)
    end
    first = r.at
    while r.at <= ncodeunits(r.text) && !(r.text[r.at] in (',', ']', '}', ' '))
        r.at += 1
    end
    word = r.text[first:r.at-1]
    word == "null" && return nothing
    word in ("true", "false") && return word == "true"
    return parse(Int64, word)  # floats are sent as their bits
end

# ---- arrays ---------------------------------------------------------------------------------------

struct Tensor
    dtype::String
    shape::Vector{Int}
    values::Vector{Float64}
end

# A gradient may be narrower than its parameter.
const READ = Dict(
    "float16" => (4, bits -> Float64(reinterpret(Float16, UInt16(bits)))),
    "bfloat16" => (4, bits -> Float64(reinterpret(Float32, UInt32(bits) << 16))),
    "float32" => (8, bits -> Float64(reinterpret(Float32, UInt32(bits)))),
    "float64" => (16, bits -> reinterpret(Float64, bits)),
)

bits_of(hex) = parse(UInt64, hex; base=16)

function decode(document)
    dtype, hex = document["dtype"], document["bits"]
    haskey(READ, dtype) || throw(Refused("an array of dtype $dtype: must be real"))
    digits, of_bits = READ[dtype]
    values = Float64[of_bits(bits_of(hex[i:i+digits-1])) for i in 1:digits:length(hex)]
    return Tensor(dtype, Int[n for n in document["shape"]], values)
end

hex_of(dtype, x) =
    dtype == "float32" ? string(reinterpret(UInt32, Float32(x)); base=16, pad=8) :
    string(reinterpret(UInt64, x); base=16, pad=16)

encode(t::Tensor) =
    "{\"dtype\":\"$(t.dtype)\",\"shape\":[$(join(t.shape, ","))],\"bits\":\"" *
    join(hex_of(t.dtype, x) for x in t.values) * "\"}"

"The values rounded to the dtype of an array, with its shape."
rounded(like::Tensor, values) = Tensor(
    like.dtype, like.shape, like.dtype == "float32" ? Float64.(Float32.(values)) : values
)

function require_fit(what, tensor, param)
    tensor.shape == param.shape ||
        throw(Refused("$what has shape $(tensor.shape), its parameter $(param.shape)"))
end

# ---- the harness ----------------------------------------------------------------------------------

struct Slot
    step::Int64
    exp_avg::Tensor
    exp_inf::Tensor
end

function hyperparameters(document)
    hp = Dict{String,Any}(document)
    for (name, limit) in DOMAINS
        value = reinterpret(Float64, bits_of(document[name]))
        0 <= value < limit ||
            throw(Refused("$name = $value is outside its domain 0 <= $name < $limit"))
        hp[name] = value
    end
    return hp
end

"The state before the first step: zero, or what is to be loaded."
function begin_slot(name, param, saved)
    if saved === nothing
        zero_ = Tensor(param.dtype, param.shape, zeros(length(param.values)))
        return Slot(0, zero_, zero_)
    end
    slot = saved[name]
    Set(keys(slot)) == Set(["step", "exp_avg", "exp_inf"]) ||
        throw(Refused("the state of $name has $(join(keys(slot), ", ")): not that of Adamax"))
    loaded = Slot(slot["step"], decode(slot["exp_avg"]), decode(slot["exp_inf"]))
    require_fit("exp_avg of $name", loaded.exp_avg, param)
    require_fit("exp_inf of $name", loaded.exp_inf, param)
    return loaded
end

object(show_one, fields) = "{" * join(("\"$k\":" * show_one(v) for (k, v) in fields), ",") * "}"

show_state(slots) = object(slots) do s
    "{\"step\":$(s.step),\"exp_avg\":$(encode(s.exp_avg)),\"exp_inf\":$(encode(s.exp_inf))}"
end

function run_steps(request)
    params = Dict{String,Tensor}(name => decode(d) for (name, d) in request["params"])
    for (name, param) in params
        param.dtype in ("float32", "float64") || throw(Refused("$name has dtype $(param.dtype)"))
    end
    hps = [hyperparameters(d) for d in request["hyperparameters"]]
    slots = Dict{String,Slot}(n => begin_slot(n, p, request["state"]) for (n, p) in params)
    initial, records = show_state(slots), String[]
    for (hp, documents) in zip(hps, request["grads"])
        grads = Dict{String,Tensor}(name => decode(d) for (name, d) in documents)
        for (name, grad) in grads
            require_fit("the gradient of $name", grad, params[name])
        end
        for (name, grad) in grads  # a parameter without a gradient stays as it is
            param, slot = params[name], slots[name]
            own = name in request["undecayed"] ? merge(hp, Dict("weight_decay" => 0.0)) : hp
            p, m, u = kernel(
                param.values, grad.values, slot.exp_avg.values, slot.exp_inf.values, slot.step, own
            )
            params[name] = rounded(param, p)
            slots[name] = Slot(slot.step + 1, rounded(slot.exp_avg, m), rounded(slot.exp_inf, u))
        end
        push!(records, "{\"params\":$(object(encode, params)),\"state\":$(show_state(slots))}")
    end
    return "\"initial\":$initial,\"records\":[$(join(records, ","))]"
end

function failure(kind, message)
    escaped = replace(message, "\\" => "\\\\", "\"" => "\\\"", "\n" => " ")
    return "\"error\":{\"kind\":\"$kind\",\"message\":\"$escaped\"}"
end

for line in eachline(stdin)
    request = read_json(Reader(line, 1))
    request["command"] == "stop" && break
    answer = try
        request["command"] == "hello" ? OFFER : run_steps(request)
    catch problem
        problem isa Refused ? failure("value", problem.message) :
        failure("internal", sprint(showerror, problem))
    end
    println(stdout, "{\"id\":$(request["id"]),$answer}")
    flush(stdout)
end
