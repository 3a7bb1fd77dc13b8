// SPDX-License-Identifier: Apache-2.0
// Prints the five most probable classes of each picture:  classify ENGINE.vtl PICTURE…
#include <cstdio>

#include "vitrail/vitrail.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s ENGINE.vtl PICTURE...\n", argv[0]);
    return vitrail::exit_status(vitrail::Code::kUsage);
  }
  auto model = vitrail::Model::load(argv[1]);
  if (!model.ok()) {
    std::fprintf(stderr, "%s\n", model.status().message().c_str());
    return vitrail::exit_status(model.status().code());
  }
  int exit_status = 0;
  for (int i = 2; i < argc; ++i) {
    const auto classes = model->classify(argv[i], 5);
    if (!classes.ok()) {
      std::fprintf(stderr, "%s\n", classes.status().message().c_str());
      exit_status = vitrail::exit_status(classes.status().code());
      continue;
    }
    std::printf("%s\n", argv[i]);
    for (const auto& c : *classes)
      std::printf("  %5.1f %%  %4d  %s\n", 100 * c.score, c.index, c.label.c_str());
  }
  return exit_status;
}
