// SPDX-License-Identifier: Apache-2.0
// Commands about the machine: door, drive, library, load, unload, health,
// fault.
#include "tools/cmd_devices.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tools/cli.h"
#include "tools/command_progress.h"
#include "tools/human.h"
#include "tools/validators.h"

namespace vellum {

namespace {

using Words = std::vector<std::string>;

int SendWords(const Cli& cli, const Words& words,
              const std::function<std::string(const Json&)>& done) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result = SendAndShow(cli, client, words);
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] { cli.out() << done(*result) << '\n'; });
  });
}

int PrintControlTable(const Cli& cli, const std::string& name) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<std::string> text =
        client.ReadControl(cli.json ? name + ".json" : name);
    if (!text.ok()) return cli.Fail(text.error());
    cli.out() << *text;
    return static_cast<int>(kExitOk);
  });
}

// --- door

struct DoorArguments {
  std::string what;  // a volume tag, or an element
  std::string element;
  std::string capacity;
  bool is_new = false;
  bool write_once = false;
  bool write_protected = false;
};

int PutIn(const Cli& cli, const DoorArguments& given) {
  Words words = {"door", "put"};
  if (!given.what.empty()) words.push_back(Argument(given.what));
  if (!given.element.empty()) {
    words.push_back(Option("element", given.element));
  }
  if (given.is_new) words.push_back("new=yes");
  if (!given.capacity.empty()) {
    const Result<uint64_t> bytes = ParseSize(given.capacity);
    if (!bytes.ok()) return cli.Fail(bytes.error(), kExitUsage);
    if (*bytes == 0) {
      return cli.Fail(Error{Errc::kInvalidArgument,
                            "--capacity: a medium of 0 bytes holds nothing"},
                      kExitUsage);
    }
    words.push_back(Option("capacity", std::to_string(*bytes)));
  }
  if (given.write_once) words.push_back("write-once=yes");
  if (given.write_protected) words.push_back("write-protected=yes");
  return SendWords(cli, words, [](const Json& result) {
    return fmt::format("{}: in element {}", result.value("medium", ""),
                       result.value("element", 0));
  });
}

void AddDoor(CLI::App& app, Cli& cli) {
  auto given = std::make_shared<DoorArguments>();
  CLI::App* door = app.add_subcommand(
      "door", "What is in the import/export elements, and what is outside");
  CLI::App* put = door->add_subcommand(
      "put", "Lay a medium from outside into an import/export element");
  put->add_option("TAG", given->what, "Its volume tag");
  put->add_option("--element", given->element,
                  "Without it the first that is empty")
      ->type_name("N")
      ->check(ElementNumber());
  CLI::Option* fresh =
      put->add_flag("--new", given->is_new, "Make the medium for it");
  put->add_option("--capacity", given->capacity, "Of a new medium")
      ->type_name("SIZE")
      ->needs(fresh);
  put->add_flag("--write-once", given->write_once, "Of a new medium")
      ->needs(fresh);
  put->add_flag("--write-protected", given->write_protected, "Of a new medium")
      ->needs(fresh);
  put->callback([&cli, given] {
    cli.action = [&cli, given] { return PutIn(cli, *given); };
  });
  CLI::App* take = door->add_subcommand(
      "take", "Take a medium out of an import/export element");
  take->add_option("MEDIUM", given->what, "Element, volume tag or volume")
      ->required();
  take->callback([&cli, given] {
    cli.action = [&cli, given] {
      return SendWords(cli, {"door", "take", Argument(given->what)},
                       [](const Json& result) {
                         return fmt::format("{}: out of element {}",
                                            result.value("medium", ""),
                                            result.value("element", 0));
                       });
    };
  });
  for (const bool lock : {true, false}) {
    const char* const name = lock ? "lock" : "unlock";
    CLI::App* sub = door->add_subcommand(
        name, lock ? "Keep the changer's door and its import/export elements "
                     "locked, until the daemon ends"
                   : "Let an operator in again");
    sub->callback([&cli, name, lock] {
      cli.action = [&cli, name, lock] {
        return SendWords(cli, {"door", name}, [lock](const Json&) {
          return std::string(lock ? "the door is locked"
                                  : "the door is not locked");
        });
      };
    });
  }
  door->require_subcommand(0, 1);
  door->callback([&cli, door] {
    if (!door->get_subcommands().empty()) return;
    cli.action = [&cli] { return PrintControlTable(cli, "door"); };
  });
}

// --- drive, library, load, unload

void AddOnline(CLI::App& app, Cli& cli) {
  auto drive = std::make_shared<std::pair<std::string, std::string>>();
  CLI::App* sub =
      app.add_subcommand("drive", "Take a drive out of use, or back");
  sub->add_option("STATE", drive->first, "online or offline")
      ->required()
      ->check(CLI::IsMember({"online", "offline"}));
  sub->add_option("DRIVE", drive->second, "Element address")
      ->required()
      ->check(ElementNumber());
  sub->callback([&cli, drive] {
    cli.action = [&cli, drive] {
      return SendWords(cli, {"drive", drive->first, Argument(drive->second)},
                       [&](const Json&) {
                         return fmt::format("drive {}: {}", drive->second,
                                            drive->first);
                       });
    };
  });
  auto library = std::make_shared<std::string>();
  sub =
      app.add_subcommand("library", "Stop loading and moving media, or go on");
  sub->add_option("STATE", *library, "online or offline")
      ->required()
      ->check(CLI::IsMember({"online", "offline"}));
  sub->callback([&cli, library] {
    cli.action = [&cli, library] {
      return SendWords(cli, {"library", *library},
                       [&](const Json&) { return "library: " + *library; });
    };
  });
}

void AddLoads(CLI::App& app, Cli& cli) {
  auto given = std::make_shared<std::pair<std::string, std::string>>();
  CLI::App* load = app.add_subcommand("load", "Put a medium into a drive");
  load->add_option("MEDIUM", given->first, "Element, volume tag or volume")
      ->required();
  load->add_option("--drive", given->second, "Without it the first empty one")
      ->type_name("ELEMENT")
      ->check(ElementNumber());
  load->callback([&cli, given] {
    cli.action = [&cli, given] {
      Words words = {"load", Argument(given->first)};
      if (!given->second.empty())
        words.push_back(Option("drive", given->second));
      return SendWords(cli, words, [](const Json& result) {
        return fmt::format("{}: in drive {}", result.value("medium", ""),
                           result.value("drive", 0));
      });
    };
  });
  CLI::App* unload =
      app.add_subcommand("unload", "Take a medium out of its drive");
  unload
      ->add_option("MEDIUM", given->first,
                   "Element address of the drive, volume tag or volume")
      ->required();
  unload->callback([&cli, given] {
    cli.action = [&cli, given] {
      return SendWords(
          cli, {"unload", Argument(given->first)}, [](const Json& result) {
            return fmt::format("{}: in element {}", result.value("medium", ""),
                               result.value("element", 0));
          });
    };
  });
}

void AddReload(CLI::App& app, Cli& cli) {
  CLI::App* sub = app.add_subcommand(
      "reload", "Read library.toml anew: hooks, generations, tracked_pairs");
  sub->callback([&cli] {
    cli.action = [&cli] {
      return SendWords(cli, {"reload"}, [](const Json& result) {
        std::string keys;
        for (const Json& key : result.value("changed", Json::array())) {
          keys += (keys.empty() ? "" : ", ") + key.get<std::string>();
        }
        return keys.empty() ? std::string("nothing has changed")
                            : "changed: " + keys;
      });
    };
  });
}

// --- health

void AddHealth(CLI::App& app, Cli& cli) {
  struct Given {
    std::string object;
    std::string flag;
    std::string note;
  };
  auto given = std::make_shared<Given>();
  CLI::App* health = app.add_subcommand(
      "health", "The health flags that are set on media and drives");
  constexpr const char* kObject = "Volume, volume tag, element, or drive";
  CLI::App* set = health->add_subcommand("set", "Set a flag");
  set->add_option("OBJECT", given->object, kObject)->required();
  set->add_option("FLAG", given->flag, "Name, or TapeAlert number")->required();
  set->add_option("--note", given->note, "Why")->type_name("TEXT");
  set->callback([&cli, given] {
    cli.action = [&cli, given] {
      Words words = {"health", "set", Argument(given->object),
                     Argument(given->flag)};
      if (!given->note.empty()) words.push_back(Option("note", given->note));
      return SendWords(cli, words, [](const Json& result) {
        return fmt::format("{}: {}", result.value("object", ""),
                           result.value("flag", ""));
      });
    };
  });
  CLI::App* clear =
      health->add_subcommand("clear", "Clear one flag, or all of an object");
  clear->add_option("OBJECT", given->object, kObject)->required();
  clear->add_option("FLAG", given->flag, "Name, or TapeAlert number");
  clear->callback([&cli, given] {
    cli.action = [&cli, given] {
      Words words = {"health", "clear", Argument(given->object)};
      if (!given->flag.empty()) words.push_back(Argument(given->flag));
      return SendWords(cli, words, [](const Json& result) {
        return fmt::format("{}: {} cleared", result.value("object", ""),
                           result.value("cleared", 0));
      });
    };
  });
  health->require_subcommand(0, 1);
  health->callback([&cli, health] {
    if (!health->get_subcommands().empty()) return;
    cli.action = [&cli] { return PrintControlTable(cli, "health"); };
  });
}

// --- fault

// One kind of fault: the words behind its name, and its options.
struct FaultForm {
  const char* name;
  const char* about;
  std::vector<const char*> arguments;
  std::vector<std::pair<const char*, const char*>> options;  // name, about
  std::vector<std::pair<const char*, const char*>> flags;
};

const std::vector<FaultForm>& FaultForms() {
  static const std::vector<FaultForm> kForms = {
      {"medium-error",
       "Sectors that cannot be read or written",
       {"MEDIUM"},
       {{"first", "First sector"},
        {"count", "How many (1)"},
        {"access", "read, write or both (read)"}},
       {}},
      {"short-transfer",
       "Reads or writes that transfer fewer bytes than they should",
       {"MEDIUM"},
       {{"times", "How many (1)"}, {"access", "read, write or both (read)"}},
       {}},
      {"slow-load",
       "Loads that take longer",
       {"MEDIUM"},
       {{"ms", "By so many milliseconds (1000)"}},
       {}},
      {"failing-load",
       "Loads that fail",
       {"MEDIUM"},
       {{"times", "How many (1)"}},
       {}},
      {"stuck-transport", "No move comes off", {}, {}, {}},
      {"drive-gone", "A drive that does not answer", {"DRIVE"}, {}, {}},
      {"unit-attention", "The next move is refused, once", {}, {}, {}},
      {"swap", "Two media that somebody exchanged", {"TAG", "OTHER"}, {}, {}},
      {"lost-bar-code", "A volume tag that cannot be read", {"MEDIUM"}, {}, {}},
      {"arm-power-cut",
       "From now on remember what is not flushed, so that power-cut can take "
       "it back",
       {},
       {},
       {}},
      {"power-cut",
       "Media in drives lose what is not flushed, and are gone until loaded "
       "anew",
       {},
       {{"seed", "What chance decides by (1)"}},
       {{"tear", "Some of each sector is kept"}}},
      {"clear", "No fault any more", {}, {}, {}},
  };
  return kForms;
}

void AddFault(CLI::App& app, Cli& cli) {
  CLI::App* fault = app.add_subcommand(
      "fault", "Make the devices of a virtual library fail, for tests");
  for (const FaultForm& form : FaultForms()) {
    CLI::App* sub = fault->add_subcommand(form.name, form.about);
    auto words = std::make_shared<Words>(form.arguments.size());
    auto options = std::make_shared<Words>(form.options.size());
    auto flags = std::make_shared<std::vector<int>>(form.flags.size());
    for (size_t i = 0; i < form.arguments.size(); ++i) {
      sub->add_option(form.arguments[i], (*words)[i])->required();
    }
    for (size_t i = 0; i < form.options.size(); ++i) {
      sub->add_option(std::string("--") + form.options[i].first, (*options)[i],
                      form.options[i].second);
    }
    for (size_t i = 0; i < form.flags.size(); ++i) {
      sub->add_flag(std::string("--") + form.flags[i].first, (*flags)[i],
                    form.flags[i].second);
    }
    sub->callback([&cli, &form, words, options, flags] {
      cli.action = [&cli, &form, words, options, flags] {
        Words all = {"fault", form.name};
        for (const std::string& word : *words) all.push_back(Argument(word));
        for (size_t i = 0; i < options->size(); ++i) {
          if ((*options)[i].empty()) continue;
          all.push_back(Option(form.options[i].first, (*options)[i]));
        }
        for (size_t i = 0; i < flags->size(); ++i) {
          if ((*flags)[i] > 0) {
            all.push_back(Option(form.flags[i].first, "yes"));
          }
        }
        return SendWords(cli, all, [&form](const Json& result) {
          if (!result.contains("sectors")) return std::string(form.name);
          return fmt::format("{}: {} sectors taken back", form.name,
                             result.value("sectors", 0));
        });
      };
    });
  }
  fault->require_subcommand(1);
}

}  // namespace

void AddDeviceCommands(CLI::App& app, Cli& cli) {
  AddDoor(app, cli);
  AddOnline(app, cli);
  AddLoads(app, cli);
  AddHealth(app, cli);
  AddFault(app, cli);
  AddReload(app, cli);
}

}  // namespace vellum
