// SPDX-License-Identifier: Apache-2.0
// What an operator should look at, from everything that is known.
#pragma once

#include "fs/tables.h"
#include "media/error.h"

namespace vellum {

class Service;

// The table `alerts` of docs/control.md. Thread-safety: any thread.
Result<Table> AlertsTable(const Service& service);

}  // namespace vellum
