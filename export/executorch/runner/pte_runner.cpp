// Runs a pocketmood program (.pte) on raw float32 clips, with what a phone has: the ExecuTorch runtime and no Python.
//
// Built by export/native.py against the libraries in the executorch wheel, for this machine or for ARM64. Exit code 1
// and one line on stderr for everything that can go wrong on purpose.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/platform.h>

#include "json.h"

// The wheel ships the thread pool's library and not its header; these two members are all that is needed of it.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

using executorch::aten::ScalarType;
using executorch::extension::Module;
using executorch::extension::threadpool::get_threadpool;
using executorch::runtime::Error;
using executorch::runtime::EValue;

constexpr int64_t kSchema = 2;       // of the contract that this runner reads: pocketmood/bundle.py's SCHEMA
constexpr size_t kOutputs = 2;       // emotion, interval68
constexpr size_t kAxes = 2;          // valence, arousal
constexpr const char* kUsage =
    "usage: pte_runner PROGRAM [--waveforms FILE] [--predictions FILE] [--repeat N] [--threads N]\n"
    "\n"
    "Prints what a program says about itself as one JSON line, and with --waveforms its predictions, times and memory too.\n"
    "\n"
    "  PROGRAM             a .pte file of a bundle\n"
    "  --waveforms FILE    clips of raw little-endian float32, one after the other, as many samples each as PROGRAM asks\n"
    "  --predictions FILE  write valence, arousal and the interval68 of each as raw float32, and not into the JSON line\n"
    "  --repeat N          predict each clip N times (1); median and p95 are over all runs but the very first\n"
    "  --threads N         size of the thread pool (0: the runtime chooses)\n"
    "  --help              print this\n";

struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// ---- the command line ----

struct Options {
  std::string program, waveforms, predictions;
  int repeat = 1, threads = 0;
};

int whole_number(const std::string& option, const std::string& text, int least) {
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < least || value > 1'000'000) {
    throw Failure(option + " " + text + ": a whole number of at least " + std::to_string(least) + " is needed");
  }
  return static_cast<int>(value);
}

Options parse(const std::vector<std::string>& words) {
  Options options;
  for (size_t at = 0; at < words.size(); ++at) {
    const std::string& word = words[at];
    if (word.rfind("--", 0) != 0) {
      if (!options.program.empty()) throw Failure(word + ": one program at a time; see --help");
      options.program = word;
      continue;
    }
    if (word != "--waveforms" && word != "--predictions" && word != "--repeat" && word != "--threads") {
      throw Failure(word + ": no such option; see --help");
    }
    if (++at == words.size()) throw Failure(word + ": its value is missing; see --help");
    if (word == "--waveforms") options.waveforms = words[at];
    if (word == "--predictions") options.predictions = words[at];
    if (word == "--repeat") options.repeat = whole_number(word, words[at], 1);
    if (word == "--threads") options.threads = whole_number(word, words[at], 0);
  }
  if (options.program.empty()) throw Failure("no program named; see --help");
  if (!options.predictions.empty() && options.waveforms.empty()) throw Failure("--predictions: needs --waveforms, too");
  return options;
}

// ---- the program ----

// The runtime explains itself in its log alone: keep the last complaint for our own line instead of printing them all.
std::string last_complaint;

void keep_complaint(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t, const char* message,
                    size_t length) {
  if (level == kError || level == kFatal) last_complaint.assign(message, length);
  // The runtime aborts right after a fatal message.
  if (level == kFatal) std::fprintf(stderr, "error: %s\n", last_complaint.c_str());
}

void require(Error error, const std::string& what) {
  if (error == Error::Ok) return;
  const std::string why = last_complaint.empty() ? "" : ": " + last_complaint;
  throw Failure(what + " (" + executorch::runtime::to_string(error) + why + ")");
}

using Contract = std::map<std::string, std::variant<int64_t, std::string>>;

void load(Module& module, const std::string& path) {
  if (!std::ifstream(path)) throw Failure(path + ": cannot be read; name a .pte file");
  using Verification = executorch::runtime::Program::Verification;
  require(module.load(Verification::InternalConsistency), path + ": no program, or a damaged one; export it again");
  require(module.load_method("forward"), path + ": its `forward` cannot be loaded");
}

Contract read_contract(Module& module, const std::string& path) {
  auto names = module.method_names();
  require(names.error(), path + ": its methods cannot be listed");
  Contract contract;
  for (const std::string& name : *names) {
    if (name == "forward") continue;
    auto value = module.execute(name);
    require(value.error(), path + ": its constant method `" + name + "` gives no value");
    if (value->size() == 1 && value->at(0).isInt()) contract[name] = value->at(0).toInt();
    if (value->size() == 1 && value->at(0).isString()) contract[name] = std::string(value->at(0).toString());
  }
  return contract;
}

int64_t promised(const Contract& contract, const std::string& name, const std::string& path) {
  const auto found = contract.find(name);
  const int64_t* value = found == contract.end() ? nullptr : std::get_if<int64_t>(&found->second);
  if (!value) throw Failure(path + ": has no constant method `" + name + "`; was it exported by pocketmood?");
  return *value;
}

std::vector<std::string> backends(Module& module, const std::string& path) {
  auto meta = module.method_meta("forward");
  require(meta.error(), path + ": does not tell its backends");
  std::vector<std::string> names;
  for (size_t at = 0; at < meta->num_backends(); ++at) names.emplace_back(meta->get_backend_name(at).get());
  return names;
}

// ---- predictions ----
using Prediction = std::vector<float>;  // valence, arousal, and the interval68 of each
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

struct Runs {
  std::vector<Prediction> predictions;  // clip by clip
  std::vector<double> ms;       // of every run, in order
};

Prediction predict(Module& module, std::vector<float>& clip, const std::string& path) {
  const auto samples = static_cast<executorch::aten::SizesType>(clip.size());
  auto outputs = module.forward(executorch::extension::from_blob(clip.data(), {1, samples}, ScalarType::Float));
  require(outputs.error(), path + ": a run failed");
  if (outputs->size() != kOutputs) throw Failure(path + ": gives " + std::to_string(outputs->size()) + " outputs, not 2");
  Prediction found;
  for (const EValue& output : *outputs) {
    if (!output.isTensor() || output.toTensor().scalar_type() != ScalarType::Float ||
        static_cast<size_t>(output.toTensor().numel()) != kAxes) {
      throw Failure(path + ": an output is no float32 of valence and arousal");
    }
    const float* values = output.toTensor().const_data_ptr<float>();
    found.insert(found.end(), values, values + kAxes);
  }
  return found;
}

// Clips are read one at a time: the peak memory must be that of one prediction, as on a phone.
Runs predict_all(Module& module, const Options& options, int64_t samples) {
  std::ifstream file(options.waveforms, std::ios::binary | std::ios::ate);
  if (!file) throw Failure(options.waveforms + ": cannot be read");
  const auto bytes = static_cast<int64_t>(file.tellg()), clip_bytes = samples * static_cast<int64_t>(sizeof(float));
  if (bytes <= 0 || bytes % clip_bytes != 0) {
    throw Failure(options.waveforms + ": " + std::to_string(bytes) + " bytes are no whole number of clips of " +
                  std::to_string(samples) + " float32");
  }
  file.seekg(0);
  Runs runs;
  std::vector<float> clip(samples);
  for (int64_t at = 0; at < bytes / clip_bytes; ++at) {
    if (!file.read(reinterpret_cast<char*>(clip.data()), clip_bytes)) throw Failure(options.waveforms + ": cut short");
    Prediction found;
    for (int run = 0; run < options.repeat; ++run) {
      const auto start = Clock::now();
      found = predict(module, clip, options.program);
      runs.ms.push_back(ms_since(start));
    }
    runs.predictions.push_back(found);
  }
  return runs;
}

void write_predictions(const std::string& path, const std::vector<Prediction>& predictions) {
  std::ofstream file(path, std::ios::binary);
  for (const auto& clip : predictions) file.write(reinterpret_cast<const char*>(clip.data()), clip.size() * sizeof(float));
  file.close();
  if (!file) throw Failure(path + ": cannot be written");
}

// ---- the JSON line ----
std::string in_json(const Contract& contract) {
  return "{" + joined(contract, [](const auto& entry) {
    const int64_t* whole = std::get_if<int64_t>(&entry.second);
    return quoted(entry.first) + ": " + (whole ? std::to_string(*whole) : quoted(std::get<std::string>(entry.second)));
  }) + "}";
}

std::string in_json(const std::vector<Prediction>& predictions) {
  return "[" + joined(predictions, [](const Prediction& clip) {
    return "[" + joined(clip, [](float value) { return number(value); }) + "]";
  }) + "]";
}

// The value below which `share` of the sorted values lie: the nearest rank.
double quantile(const std::vector<double>& sorted, double share) {
  const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(rank, 1) - 1];
}

std::string times(std::vector<double> ms) {
  const double first = ms.front();
  if (ms.size() > 1) ms.erase(ms.begin());
  std::sort(ms.begin(), ms.end());
  const size_t middle = ms.size() / 2;
  const double median = ms.size() % 2 ? ms[middle] : (ms[middle - 1] + ms[middle]) / 2;
  return "\"timed_runs\": " + std::to_string(ms.size()) + ", \"first_ms\": " + number(first) +
         ", \"median_ms\": " + number(median) + ", \"p95_ms\": " + number(quantile(ms, 0.95));
}

int64_t peak_rss_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmHWM:", 0) == 0) return std::strtoll(line.c_str() + 6, nullptr, 10) * 1024;
  }
  throw Failure("/proc/self/status: does not tell the peak memory (VmHWM)");
}

void run(const Options& options) {
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(keep_complaint, __FILE__));
  if (options.threads) get_threadpool()->_unsafe_reset_threadpool(options.threads);
  // Read into memory, not mapped: what the Android library does unless told otherwise.
  Module module(options.program, Module::LoadMode::File);
  const auto start = Clock::now();
  load(module, options.program);
  const double load_ms = ms_since(start);
  const Contract contract = read_contract(module, options.program);
  const int64_t schema = promised(contract, "schema", options.program);
  const std::string reads = ", this runner reads " + std::to_string(kSchema) + "; export the bundle again";
  if (schema != kSchema) throw Failure(options.program + ": contract of schema " + std::to_string(schema) + reads);

  std::string line = "{\"program\": " + quoted(options.program) + ", \"contract\": " + in_json(contract) +
                     ", \"backends\": [" + joined(backends(module, options.program), quoted) + "]" +
                     ", \"threads\": " + std::to_string(get_threadpool()->get_thread_count()) +
                     ", \"load_ms\": " + number(load_ms);
  if (!options.waveforms.empty()) {
    const Runs runs = predict_all(module, options, promised(contract, "samples", options.program));
    if (!options.predictions.empty()) write_predictions(options.predictions, runs.predictions);
    line += ", \"clips\": " + std::to_string(runs.predictions.size()) + ", " + times(runs.ms) +
            ", \"predictions\": " + (options.predictions.empty() ? in_json(runs.predictions) : quoted(options.predictions));
  }
  std::printf("%s, \"peak_rss_bytes\": %lld}\n", line.c_str(), static_cast<long long>(peak_rss_bytes()));
}

}  // namespace

int main(int count, char** words) {
  const std::vector<std::string> given(words + 1, words + count);
  if (std::find(given.begin(), given.end(), "--help") != given.end()) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  try {
    run(parse(given));
  } catch (const Failure& failure) {
    std::fprintf(stderr, "error: %s\n", failure.what());
    return 1;
  }
  return 0;
}
