// SPDX-License-Identifier: Apache-2.0
// Commands of a backup's life: backup, restore, promote, backup-info, history,
// track.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <istream>
#include <memory>
#include <optional>

#include "tools/cli.h"
#include "tools/command_progress.h"
#include "tools/file_words.h"
#include "tools/image_info.h"
#include "tools/job_wait.h"

namespace vellum {

namespace {

struct BackupArguments {
  std::string volume;
  std::string media;
  std::string target;
  bool track = false;
  bool no_verify = false;
  bool wait = false;
};

int Backup(const Cli& cli, const BackupArguments& arguments) {
  std::vector<std::string> words = {"backup", Argument(arguments.volume)};
  if (arguments.track) words.push_back("track=yes");
  std::string media = arguments.media;
  for (char& c : media) c = static_cast<char>(std::tolower(c));
  if (arguments.track && media == "tape") {
    return cli.Fail(Error{Errc::kInvalidArgument,
                          "backup: a tape is always written whole: -T is for "
                          "-m DISK"},
                    kExitUsage);
  }
  if (!media.empty()) words.push_back(Option("media", media));
  if (!arguments.target.empty())
    words.push_back(Option("to", arguments.target));
  if (arguments.no_verify) words.push_back("verify=no");
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result = client.Send(words);
    if (!result.ok()) return cli.Fail(result.error());
    const auto job = result->value("job", uint64_t{0});
    if (arguments.wait) return FinishJob(cli, client, job);
    return cli.Done(*result,
                    [&] { cli.out() << fmt::format("job {}\n", job); });
  });
}

struct RestoreArguments {
  std::string volume;
  std::string from;
  std::string to;          // of files only
  bool no_verify = false;  // of files only
  bool yes = false;
  bool wait = false;
  FileArguments files;
};

// Asks on the terminal; the volume's name is the only yes. `what` is replaced.
Status Confirm(const Cli& cli, const RestoreArguments& arguments,
               const std::string& what) {
  if (arguments.yes) return Status::Ok();
  if (cli.env.in == nullptr) {
    return Status(Errc::kInvalidArgument,
                  fmt::format("restore: {}, and there is no terminal to ask "
                              "at: --yes says that this is meant",
                              what));
  }
  std::string sentence = what;
  if (!sentence.empty()) {
    sentence[0] = static_cast<char>(
        std::toupper(static_cast<unsigned char>(sentence[0])));
  }
  *cli.env.err << fmt::format(
      "{} by {}.\nType the name of the volume to go on: ", sentence,
      arguments.from.empty() ? "its newest backup"
                             : "the backup " + arguments.from);
  cli.env.err->flush();
  std::string answer;
  std::getline(*cli.env.in, answer);
  if (answer == arguments.volume) return Status::Ok();
  return Status(Errc::kAborted, "restore: not confirmed, nothing was done");
}

int NotConfirmed(const Cli& cli, const Status& confirmed) {
  return cli.Fail(confirmed.error(), confirmed.code() == Errc::kAborted
                                         ? kExitFailed
                                         : kExitUsage);
}

int WaitOrTell(const Cli& cli, const Client& client,
               const RestoreArguments& arguments, const Json& result) {
  const auto job = result.value("job", uint64_t{0});
  if (arguments.wait) return FinishJob(cli, client, job);
  return cli.Done(result, [&] {
    const Json from = result.value("from", Json());
    cli.out() << fmt::format(
        "job {}: restores {} from {}\n", job, arguments.volume,
        from.is_string() ? from.get<std::string>() : arguments.from);
  });
}

// What is there is replaced only when somebody says so; the daemon knows what
// would be.
int RestoreSomeFiles(const Cli& cli, const Client& client,
                     const RestoreArguments& arguments) {
  std::vector<std::string> words = {"restore", Argument(arguments.volume)};
  const Status added =
      AddFileWords(arguments.files, client.mount(), arguments.volume, &words);
  if (!added.ok()) return cli.Fail(added.error(), kExitUsage);
  if (!arguments.from.empty()) words.push_back(Option("from", arguments.from));
  if (!arguments.to.empty()) {
    words.push_back(Option("to", FileTarget(client.mount(), arguments.to)));
  }
  if (arguments.no_verify) words.push_back("verify=no");
  if (arguments.yes) words.push_back("confirm=yes");
  Result<Json> result = client.Send(words);
  if (!result.ok() && result.error().code == Errc::kExists && !arguments.yes) {
    const Status confirmed = Confirm(cli, arguments, result.error().message);
    if (!confirmed.ok()) return NotConfirmed(cli, confirmed);
    words.push_back("confirm=yes");
    result = client.Send(words);
  }
  if (!result.ok()) return cli.Fail(result.error());
  return WaitOrTell(cli, client, arguments, *result);
}

int Restore(const Cli& cli, const RestoreArguments& arguments) {
  if (arguments.files.given()) {
    return cli.WithDaemon([&](const Client& client) {
      return RestoreSomeFiles(cli, client, arguments);
    });
  }
  std::vector<std::string> none;
  Status wrong = AddFileWords(arguments.files, "", arguments.volume, &none);
  if (wrong.ok() && !arguments.to.empty()) {
    wrong = Status(Errc::kInvalidArgument,
                   "restore: --to is for --files: a whole volume is restored "
                   "where it was");
  }
  if (wrong.ok() && arguments.no_verify) {
    wrong = Status(Errc::kInvalidArgument,
                   "restore: --no-verify is for --files: what is written of a "
                   "whole volume is always read back");
  }
  if (!wrong.ok()) return cli.Fail(wrong.error(), kExitUsage);
  std::vector<std::string> words = {"restore", Argument(arguments.volume)};
  if (!arguments.from.empty()) words.push_back(Option("from", arguments.from));
  words.push_back("confirm=yes");
  return cli.WithDaemon([&](const Client& client) {
    if (!arguments.yes) {
      // Nobody is asked about what is not there.
      const Result<Json> known =
          client.Send({"info", Argument(arguments.volume)});
      if (!known.ok()) return cli.Fail(known.error());
    }
    const Status confirmed =
        Confirm(cli, arguments,
                fmt::format("everything on {} is replaced", arguments.volume));
    if (!confirmed.ok()) return NotConfirmed(cli, confirmed);
    const Result<Json> result = client.Send(words);
    if (!result.ok()) return cli.Fail(result.error());
    return WaitOrTell(cli, client, arguments, *result);
  });
}

int Promote(const Cli& cli, const std::string& copy) {
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> result =
        SendAndShow(cli, client, {"promote", Argument(copy)});
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] {
      cli.out() << fmt::format("{} is now the primary {}\n", copy,
                               result->value("volume", ""));
      const Json retired = result->value("retired", Json());
      if (retired.is_string()) {
        cli.out() << fmt::format("the original is {}\n",
                                 retired.get<std::string>());
      }
      const Json problem = result->value("problem", Json());
      if (problem.is_string()) {
        *cli.env.err << fmt::format(
            "vellum: warning: its medium could not be labelled: {}\n",
            problem.get<std::string>());
      }
    });
  });
}

int ShowBackup(const Cli& cli, const std::string& backup,
               const std::string& image) {
  if (!image.empty()) {
    const Result<Json> info = ImageInfo(image);
    if (!info.ok()) return cli.Fail(info.error());
    return cli.Done(*info, [&] { cli.out() << MediumInfoText(*info); });
  }
  return cli.WithDaemon([&](const Client& client) {
    const Result<Json> info =
        SendAndShow(cli, client, {"backup-info", Argument(backup)});
    if (!info.ok()) return cli.Fail(info.error());
    return cli.Done(*info, [&] { cli.out() << MediumInfoText(*info); });
  });
}

struct HistoryArguments {
  std::string volume;
  std::optional<uint64_t> deleted;
};

int DeleteHistory(const Cli& cli, const Client& client, uint64_t job) {
  const Result<Json> result =
      client.Send({"history", "delete", std::to_string(job)});
  if (!result.ok()) return cli.Fail(result.error());
  return cli.Done(*result, [&] {
    const std::string medium = result->value("medium", "");
    const Json kept = result->value("kept", Json());
    cli.out() << fmt::format("history of job {} is deleted", job);
    if (result->value("freed", false)) {
      cli.out() << fmt::format("; medium {} is free", medium);
    } else if (kept.is_string()) {
      cli.out() << fmt::format("; medium {} is kept: {}", medium,
                               kept.get<std::string>());
    }
    cli.out() << '\n';
  });
}

int History(const Cli& cli, const HistoryArguments& arguments) {
  return cli.WithDaemon([&](const Client& client) {
    if (arguments.deleted) {
      return DeleteHistory(cli, client, *arguments.deleted);
    }
    if (arguments.volume.empty() || !cli.json) {
      std::string file = cli.json ? "history.json" : "history";
      if (!arguments.volume.empty()) {
        const Result<Json> known =
            client.Send({"info", Argument(arguments.volume)});
        if (!known.ok()) return cli.Fail(known.error());
        file = "volumes/" + arguments.volume + "/history";
      }
      const Result<std::string> text = client.ReadControl(file);
      if (!text.ok()) return cli.Fail(text.error());
      cli.out() << *text;
      return static_cast<int>(kExitOk);
    }
    const Result<Json> rows = client.ReadJson("history.json");
    if (!rows.ok()) return cli.Fail(rows.error());
    Json wanted = Json::array();
    for (const Json& row : *rows) {
      if (row.value("source", "") == arguments.volume ||
          row.value("target", "") == arguments.volume) {
        wanted.push_back(row);
      }
    }
    // A volume that is gone may have a history.
    if (wanted.empty()) {
      const Result<Json> known =
          client.Send({"info", Argument(arguments.volume)});
      if (!known.ok()) return cli.Fail(known.error());
    }
    cli.out() << wanted.dump() << '\n';
    return static_cast<int>(kExitOk);
  });
}

struct TrackArguments {
  std::string action;
  std::string volume;
  std::string target;
};

int Track(const Cli& cli, const TrackArguments& arguments) {
  if (!arguments.action.empty() &&
      (arguments.volume.empty() || arguments.target.empty())) {
    return cli.Fail(Error{Errc::kInvalidArgument,
                          fmt::format("track: {} needs VOL and --target COPY",
                                      arguments.action)},
                    kExitUsage);
  }
  return cli.WithDaemon([&](const Client& client) {
    if (arguments.action.empty()) {
      const Result<std::string> text =
          client.ReadControl(cli.json ? "tracking.json" : "tracking");
      if (!text.ok()) return cli.Fail(text.error());
      cli.out() << *text;
      return static_cast<int>(kExitOk);
    }
    const Result<Json> result =
        client.Send({"track", arguments.action, Argument(arguments.volume),
                     Option("target", arguments.target)});
    if (!result.ok()) return cli.Fail(result.error());
    return cli.Done(*result, [&] {
      cli.out() << fmt::format(
          "{} to {} is {}\n", result->value("transaction_disk", ""),
          result->value("backup_disk", ""),
          result->value("tracked", false)
              ? "tracked"
              : "not tracked any more: the next incremental copy is full");
    });
  });
}

void AddBackup(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<BackupArguments>();
  CLI::App* sub = app.add_subcommand(
      "backup", "Back up a primary volume to disk; with -T only what changed");
  sub->alias("acmbackup");
  sub->add_option("VOL", arguments->volume, "Volume id of the primary")
      ->required();
  sub->add_flag("-T,--track", arguments->track,
                "Track changes: the first backup is whole, later ones write "
                "the difference");
  sub->add_option("-m,--media", arguments->media,
                  "DISK, TAPE or BOTH: what to write")
      ->check(CLI::IsMember({"DISK", "TAPE", "BOTH"}, CLI::ignore_case));
  sub->add_option("--to", arguments->target,
                  "Element address, volume tag or backup to write");
  sub->add_flag("--no-verify", arguments->no_verify,
                "Do not read back what was written");
  sub->add_flag("--wait", arguments->wait, "Wait for the end of the job");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Backup(cli, *arguments); };
  });
}

void AddRestore(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<RestoreArguments>();
  CLI::App* sub = app.add_subcommand(
      "restore",
      "Replace a whole primary by a backup of it, while no file is open; or "
      "restore some files of it");
  sub->alias("acmrestore");
  sub->add_option("VOL", arguments->volume, "Volume id of the primary")
      ->required();
  sub->add_option("--from", arguments->from,
                  "The backup; the newest one when not given")
      ->type_name("COPY");
  AddFileOptions(sub, &arguments->files);
  sub->add_option("--to", arguments->to,
                  "With --files: the directory below which they go, or another "
                  "primary, as VOLUME[:PATH]")
      ->type_name("[VOLUME:]PATH");
  sub->add_flag("--no-verify", arguments->no_verify,
                "With --files: do not read back what was written");
  sub->add_flag("--yes", arguments->yes, "Do not ask");
  sub->add_flag("--wait", arguments->wait, "Wait for the end of the job");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Restore(cli, *arguments); };
  });
}

void AddBackupInfo(CLI::App& app, Cli& cli) {
  auto backup = std::make_shared<std::string>();
  auto image = std::make_shared<std::string>();
  CLI::App* sub = app.add_subcommand(
      "backup-info",
      "What a backup medium says of itself: primary, generation, every copy");
  CLI::Option_group* what = sub->add_option_group("what");
  what->add_option("BACKUP", *backup,
                   "Volume id, volume tag or element address");
  what->add_option("--image", *image,
                   "Image file; needs no library and no daemon")
      ->type_name("FILE");
  what->require_option(1);
  sub->callback([&cli, backup, image] {
    cli.action = [&cli, backup, image] {
      return ShowBackup(cli, *backup, *image);
    };
  });
}

void AddHistory(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<HistoryArguments>();
  CLI::App* sub =
      app.add_subcommand("history", "Copies and restores that have ended");
  sub->alias("acmhistdisp");
  CLI::Option* volume =
      sub->add_option("VOL", arguments->volume, "Only those of this volume");
  sub->add_option("--delete", arguments->deleted,
                  "Delete this job's row; frees the medium of a copy that is "
                  "not tracked")
      ->type_name("JOB")
      ->excludes(volume);
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return History(cli, *arguments); };
  });
}

void AddTrack(CLI::App& app, Cli& cli) {
  auto arguments = std::make_shared<TrackArguments>();
  CLI::App* sub = app.add_subcommand(
      "track",
      "Which backups are tracked and how much has changed; start or "
      "end the tracking of one");
  sub->alias("acmtrkstat");
  sub->add_option("ACTION", arguments->action, "start, cancel or delete")
      ->check(CLI::IsMember({"start", "cancel", "delete"}));
  sub->add_option("VOL", arguments->volume, "Volume id of the primary");
  sub->add_option("--target", arguments->target,
                  "The backup: volume id, volume tag or element")
      ->type_name("COPY");
  sub->callback([&cli, arguments] {
    cli.action = [&cli, arguments] { return Track(cli, *arguments); };
  });
}

}  // namespace

void AddBackupCommands(CLI::App& app, Cli& cli) {
  AddBackup(app, cli);
  AddRestore(app, cli);
  auto copy = std::make_shared<std::string>();
  CLI::App* promote = app.add_subcommand(
      "promote", "Let a copy take the place of its original, under its name");
  promote->add_option("COPY", *copy, "Volume id of the backup")->required();
  promote->callback([&cli, copy] {
    cli.action = [&cli, copy] { return Promote(cli, *copy); };
  });
  AddBackupInfo(app, cli);
  AddHistory(app, cli);
  AddTrack(app, cli);
}

}  // namespace vellum
