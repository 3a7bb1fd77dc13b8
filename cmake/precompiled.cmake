# Headers parsed once for all files: most of the time of a build without optimization goes into the standard library,
# {fmt}, nlohmann/json and GoogleTest. Presets for development turn this on; the release build compiles every file
# alone and so catches an include that is missing.
option(VITRAIL_PCH "Precompile the standard library and the headers of dependencies" OFF)

set(VTL_PCH_HEADERS <algorithm> <array> <atomic> <chrono> <cmath> <cstdint> <cstdlib> <cstring> <filesystem> <fstream>
  <functional> <limits> <map> <memory> <mutex> <numeric> <optional> <random> <set> <span> <sstream> <string>
  <string_view> <thread> <unordered_map> <unordered_set> <utility> <variant> <vector>
  <fmt/format.h> <nlohmann/json.hpp>)

# vtl_precompiled(TARGET KIND): KIND is library, program or test (GoogleTest as well); a header serves one kind, since
# programs are compiled with -fPIE and libraries with -fPIC. A target whose files have other flags for code generation
# cannot share it, and calls nothing.
function(vtl_precompiled target kind)
  if(NOT VITRAIL_PCH)
    return()
  endif()
  set(owner vitrail_pch_${kind})
  if(NOT TARGET ${owner})
    file(WRITE ${PROJECT_BINARY_DIR}/${owner}.cpp "int main() {}\n")
    if(kind STREQUAL "library")
      add_library(${owner} OBJECT ${PROJECT_BINARY_DIR}/${owner}.cpp)
    else()
      add_executable(${owner} ${PROJECT_BINARY_DIR}/${owner}.cpp)
    endif()
    target_link_libraries(${owner} PRIVATE vitrail_options fmt::fmt nlohmann_json::nlohmann_json)
    target_precompile_headers(${owner} PRIVATE ${VTL_PCH_HEADERS})
    if(kind STREQUAL "test")
      target_link_libraries(${owner} PRIVATE GTest::gtest GTest::gmock)
      target_precompile_headers(${owner} PRIVATE <gtest/gtest.h> <gmock/gmock.h>)
    elseif(kind STREQUAL "program")
      target_link_libraries(${owner} PRIVATE CLI11::CLI11)
      target_precompile_headers(${owner} PRIVATE <CLI/CLI.hpp>)
    endif()
  endif()
  target_precompile_headers(${target} REUSE_FROM ${owner})
endfunction()
