// SPDX-License-Identifier: Apache-2.0
// vellum dump-catalog: what a library's catalog holds, without a daemon.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "index/catalog.h"
#include "media/library_directory.h"
#include "tools/catalog_dump.h"
#include "tools/cli.h"

namespace vellum {
namespace {

int DumpCatalogOf(const Cli& cli, const std::string& library,
                  const DumpOptions& options) {
  const std::string path = library + "/catalog";
  if (!std::filesystem::exists(path)) {
    return cli.Fail(Error{Errc::kNotFound, path + ": there is no catalog"});
  }
  // A daemon has the catalog open; none may begin meanwhile.
  const Result<LibraryLock> lock = LibraryLock::Take(library);
  if (!lock.ok()) return cli.Fail(lock.error());
  const Result<std::unique_ptr<Catalog>> catalog = Catalog::Open(path, {});
  if (!catalog.ok()) {
    Error error = catalog.error();
    if (error.code == Errc::kCorruption) {
      error.message +=
          "; `vellum mount` makes it anew of what can be read of it, and keeps "
          "the damaged one";
    }
    return cli.Fail(error);
  }
  const Status status = DumpCatalog(**catalog, options, [&](const Json& line) {
    cli.out() << line.dump() << '\n';
  });
  if (!status.ok()) return cli.Fail(status.error());
  cli.out().flush();
  if (!cli.out()) {
    return cli.Fail(Error{Errc::kDeviceError, "the dump cannot be written"});
  }
  return kExitOk;
}

}  // namespace

void AddDumpCatalog(CLI::App& app, Cli& cli) {
  struct Arguments {
    std::string library;
    DumpOptions options;
  };
  auto arguments = std::make_shared<Arguments>();
  CLI::App* sub = app.add_subcommand(
      "dump-catalog",
      "Print the catalog as lines of JSON; no daemon may serve the library");
  sub->add_option("DIR", arguments->library, "Directory of the library")
      ->required();
  sub->add_flag("--all", arguments->options.all,
                "Also what only the catalog knows, and no medium");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] {
      return DumpCatalogOf(cli, arguments->library, arguments->options);
    };
  });
}

}  // namespace vellum
