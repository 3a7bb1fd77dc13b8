// SPDX-License-Identifier: Apache-2.0
// Regions of code for instructions that the compiler's flags do not name; whether the processor has them is asked at run time.
// Everything else that a file includes comes before its region: an inline function of a standard header that were compiled inside
// would need these instructions in every program that links it.
#pragma once

#if defined(__x86_64__)
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 warns of its own header's deliberately undefined registers (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#endif

#define VTL_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define VTL_BEGIN_TARGET(isa) VTL_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define VTL_END_TARGET VTL_PRAGMA(clang attribute pop)
#else
#define VTL_BEGIN_TARGET(isa) VTL_PRAGMA(GCC push_options) VTL_PRAGMA(GCC target isa)
#define VTL_END_TARGET VTL_PRAGMA(GCC pop_options)
#endif
