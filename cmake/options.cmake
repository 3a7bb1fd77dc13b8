# Flags that every target of this project is built with.
add_library(vitrail_options INTERFACE)
target_compile_options(vitrail_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wnon-virtual-dtor>)
# GCC 12 sees overlaps in std::string that are not there (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(vitrail_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
target_include_directories(vitrail_options INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>)
if(VITRAIL_SANITIZE)
  string(REPLACE ";" "," VITRAIL_SANITIZE_LIST "${VITRAIL_SANITIZE}")
  target_compile_options(vitrail_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${VITRAIL_SANITIZE_LIST}
    -fno-omit-frame-pointer -fno-sanitize-recover=all>)
  target_link_options(vitrail_options INTERFACE -fsanitize=${VITRAIL_SANITIZE_LIST})
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND VITRAIL_PCH)
  target_compile_options(vitrail_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)  # for ccache
endif()
if(VITRAIL_FUZZERS)
  target_compile_options(vitrail_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)
endif()

# vtl_library(NAME FOLDER DEPS…): every .cpp of src/FOLDER (and below) as one static library.
function(vtl_library name folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*.cpp)
  if(NOT sources)
    message(STATUS "src/${folder} is empty")
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE vitrail_options ${ARGN})
    return()
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC vitrail_options ${ARGN})
  # Presets for development compile with -O1, but not what tests spend their time in; GCC wants a precompiled header of
  # the same level.
  if(folder MATCHES "^(core|preprocess|quant|backends/(reference|cpu))$")
    target_compile_options(${name} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O2>)
  else()
    vtl_precompiled(${name} library)
  endif()
endfunction()

# vtl_test(FOLDER DEPS…): every .cpp of tests/FOLDER as one GoogleTest program, registered test by test.
function(vtl_test folder)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/${folder}/*.cpp)
  if(NOT sources)
    return()
  endif()
  string(REPLACE "/" "_" name test_${folder})
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE ${ARGN} GTest::gtest GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  vtl_precompiled(${name} test)
  target_compile_definitions(${name} PRIVATE VTL_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
    VTL_SHARED_DATA="${PROJECT_SOURCE_DIR}/../shared/data")
  set(label cpu)
  if(folder STREQUAL "cuda")
    set(label gpu)  # those that need a device say so and are skipped without one
  endif()
  gtest_discover_tests(${name} TEST_PREFIX ${folder}. DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS ${label})
endfunction()
