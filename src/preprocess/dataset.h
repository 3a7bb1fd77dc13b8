// SPDX-License-Identifier: Apache-2.0
// What a folder of images and a file of labels say.
#pragma once

#include <string>
#include <vector>

#include "vitrail/status.h"

namespace vitrail {

// Paths of the images under `folder`, at any depth, in byte order; told by extension (jpg, jpeg, png, webp,
// bmp, ppm, pgm, in any case). Symbolic links are followed, each folder once. kIo when a folder cannot be
// read, kBadInput when it is none or holds no image.
Result<std::vector<std::string>> list_images(const std::string& folder);

// The name of the folder that holds a file, which is its class in a data set: "cat" for "test/cat/1.jpg"; ""
// for none.
std::string class_folder(const std::string& path);

// One class name a line, UTF-8, LF or CRLF, a byte order mark and blank lines at the end allowed. kBadInput
// names the line that is blank or not UTF-8.
Result<std::vector<std::string>> load_labels(const std::string& path);

}  // namespace vitrail
