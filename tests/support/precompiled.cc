// SPDX-License-Identifier: Apache-2.0
// Nothing: CMake wants a source for the headers that it precompiles.
