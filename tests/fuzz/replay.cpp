// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer: on every file of a folder, then on damaged copies of them, the same ones in every
// run. usage: replay NAME COPIES, for the folder NAME of $VTL_FUZZ_CORPUS. A crash, or an input that takes longer than kLongest, ends the program and leaves
// the input in the file that it names.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

constexpr unsigned kLongest = 20;  // seconds
constexpr int kSkipped = 77;

const Bytes* g_input = nullptr;
char g_crash_file[256];

void save_and_die(int signal) {
  const int fd = ::open(g_crash_file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0 && g_input) (void)!::write(fd, g_input->data(), g_input->size());
  const char text[] = ": the input that ended this program (crash or timeout)\n";
  (void)!::write(2, g_crash_file, std::strlen(g_crash_file));
  (void)!::write(2, text, sizeof text - 1);
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

void run(const Bytes& input) {
  // A copy of exactly this size, so that the address sanitizer sees a byte too many.
  const Bytes copy(input.begin(), input.end());
  g_input = &input;
  ::alarm(kLongest);
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
  ::alarm(0);
}

Bytes damaged(const Bytes& input, const std::vector<Bytes>& all, std::mt19937& random) {
  const auto below = [&](size_t n) { return n ? random() % n : 0; };
  Bytes out = input;
  for (size_t change = 0, changes = 1 + below(4); change < changes && !out.empty(); ++change) {
    const size_t at = below(out.size());
    switch (below(8)) {
      case 0:
        out[at] = static_cast<uint8_t>(random());
        break;
      case 1:
        out[at] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 2: {  // a number at its limits
        constexpr uint64_t kLimits[] = {0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, ~0ull};
        const uint64_t value = kLimits[below(std::size(kLimits))];
        const size_t width = std::min<size_t>(size_t{1} << below(4), out.size() - at);
        std::memcpy(&out[at], &value, width);
        break;
      }
      case 3: {  // a digit, for what is written as text
        const auto digit = std::find_if(out.begin() + static_cast<std::ptrdiff_t>(at), out.end(),
                                        [](uint8_t c) { return c >= '0' && c <= '9'; });
        if (digit != out.end()) out.insert(digit, below(12), static_cast<uint8_t>('0' + below(10)));
        break;
      }
      case 4:
        out.resize(at);
        break;
      case 5: {  // a piece less
        const size_t length = 1 + below(std::min<size_t>(out.size() - at, 64));
        out.erase(out.begin() + static_cast<std::ptrdiff_t>(at), out.begin() + static_cast<std::ptrdiff_t>(at + length));
        break;
      }
      case 6: {  // a piece twice
        const size_t length = 1 + below(std::min<size_t>(out.size() - at, 64));
        const Bytes piece(out.begin() + static_cast<std::ptrdiff_t>(at), out.begin() + static_cast<std::ptrdiff_t>(at + length));
        out.insert(out.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
        break;
      }
      default: {  // the end of another input
        const Bytes& other = all[below(all.size())];
        out.resize(at);
        out.insert(out.end(), other.begin() + static_cast<std::ptrdiff_t>(below(other.size() + 1)), other.end());
      }
    }
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const char* corpus = std::getenv("VTL_FUZZ_CORPUS");
  const fs::path folder = fs::path(corpus ? corpus : "") / (argc > 1 ? argv[1] : "");
  if (!corpus || argc != 3) {
    std::printf("Skipped: VTL_FUZZ_CORPUS names no corpus (scripts/test.sh makes one with tests/fuzz/make_corpus.py)\n");
    return kSkipped;
  }
  std::snprintf(g_crash_file, sizeof g_crash_file, "%s-crash.bin", fs::path(argv[0]).filename().c_str());
  for (int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM}) std::signal(signal, save_and_die);
  std::vector<fs::path> paths;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    if (entry.is_regular_file()) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<Bytes> inputs;
  for (const fs::path& path : paths) {
    std::ifstream in(path, std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    run(inputs.back());
  }
  if (inputs.empty()) {
    std::printf("%s holds no input\n", folder.c_str());
    return 1;
  }
  const int copies = std::atoi(argv[2]);
  std::mt19937 random(1);
  for (int i = 0; i < copies; ++i) run(damaged(inputs[random() % inputs.size()], inputs, random));
  std::printf("%zu inputs and %d damaged copies\n", inputs.size(), copies);
  return 0;
}
