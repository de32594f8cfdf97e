// SPDX-License-Identifier: Apache-2.0
#include "media/config_table.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace vellum {

struct ConfigTable::Impl {
  std::string path;
  std::string name;  // empty: the file itself
  std::shared_ptr<const toml::table> root;
  const toml::table* table = nullptr;  // in root; null: absent

  const toml::node* Find(const std::string& key) const {
    return table == nullptr ? nullptr : table->get(key);
  }
  std::string FullName(std::string_view key) const {
    return name.empty() ? std::string(key) : fmt::format("{}.{}", name, key);
  }
};

namespace {

Status ErrorAtLine(const std::string& path, const toml::node& node,
                   const std::string& message) {
  return Status(
      Errc::kInvalidArgument,
      fmt::format("{}:{}: {}", path, node.source().begin.line, message));
}

}  // namespace

Status CheckBounds(const std::string& name, uint64_t value,
                   ConfigBounds bounds) {
  if (value >= bounds.min && value <= bounds.max) return Status::Ok();
  return Status(Errc::kInvalidArgument,
                fmt::format("{}: {} is not between {} and {}", name, value,
                            bounds.min, bounds.max));
}

Result<ConfigTable> ConfigTable::Parse(const std::string& path,
                                       const std::string& text) {
  auto impl = std::make_shared<Impl>();
  impl->path = path;
  // The packaged toml++ reports syntax errors by throwing; it ends here.
  try {
    impl->root = std::make_shared<const toml::table>(
        toml::parse(text, std::string_view(path)));
  } catch (const toml::parse_error& e) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("{}:{}: {}", path, e.source().begin.line, e.description())};
  }
  impl->table = impl->root.get();
  return ConfigTable(std::move(impl));
}

Result<ConfigTable> ConfigTable::Table(const std::string& key) {
  known_.push_back(key);
  auto impl = std::make_shared<Impl>();
  impl->path = impl_->path;
  impl->name = impl_->FullName(key);
  impl->root = impl_->root;
  const toml::node* node = impl_->Find(key);
  if (node != nullptr) {
    impl->table = node->as_table();
    if (impl->table == nullptr) {
      return ErrorAtLine(
          impl->path, *node,
          fmt::format("{} must be a table: [{}]", impl->name, impl->name));
    }
  }
  return ConfigTable(std::move(impl));
}

Result<std::vector<ConfigTable>> ConfigTable::Tables(const std::string& key) {
  known_.push_back(key);
  std::vector<ConfigTable> tables;
  const toml::node* node = impl_->Find(key);
  if (node == nullptr) return tables;
  const std::string name = impl_->FullName(key);
  const std::string mistake =
      fmt::format("{} must be an array of tables: [[{}]]", name, name);
  const toml::array* array = node->as_array();
  if (array == nullptr) return ErrorAtLine(impl_->path, *node, mistake);
  for (const toml::node& element : *array) {
    auto impl = std::make_shared<Impl>();
    impl->path = impl_->path;
    impl->name = name;
    impl->root = impl_->root;
    impl->table = element.as_table();
    if (impl->table == nullptr) {
      return ErrorAtLine(impl_->path, element, mistake);
    }
    tables.push_back(ConfigTable(std::move(impl)));
  }
  return tables;
}

Status ConfigTable::ReadInteger(const std::string& key, ConfigBounds bounds,
                                std::optional<uint64_t>* value) {
  known_.push_back(key);
  const toml::node* node = impl_->Find(key);
  if (node == nullptr) return Status::Ok();
  const toml::value<int64_t>* integer = node->as_integer();
  if (integer == nullptr) return At(key, "must be a whole number");
  const int64_t number = integer->get();
  if (number < 0 || static_cast<uint64_t>(number) < bounds.min ||
      static_cast<uint64_t>(number) > bounds.max) {
    return At(key, fmt::format("{} is not between {} and {}", number,
                               bounds.min, bounds.max));
  }
  *value = static_cast<uint64_t>(number);
  return Status::Ok();
}

Status ConfigTable::String(const std::string& key, std::string* value) {
  known_.push_back(key);
  const toml::node* node = impl_->Find(key);
  if (node == nullptr) return Status::Ok();
  const toml::value<std::string>* text = node->as_string();
  if (text == nullptr) return At(key, "must be a text in quotes");
  *value = text->get();
  return Status::Ok();
}

Status ConfigTable::Boolean(const std::string& key, bool* value) {
  known_.push_back(key);
  const toml::node* node = impl_->Find(key);
  if (node == nullptr) return Status::Ok();
  const toml::value<bool>* flag = node->as_boolean();
  if (flag == nullptr) return At(key, "must be true or false");
  *value = flag->get();
  return Status::Ok();
}

bool ConfigTable::Has(const std::string& key) const {
  return impl_->Find(key) != nullptr;
}

Status ConfigTable::RejectUnknown() const {
  if (impl_->table == nullptr) return Status::Ok();
  for (const auto& [key, node] : *impl_->table) {
    if (std::find(known_.begin(), known_.end(), key.str()) == known_.end()) {
      return Status(
          Errc::kInvalidArgument,
          fmt::format("{}:{}: unknown key {}", impl_->path,
                      key.source().begin.line, impl_->FullName(key.str())));
    }
  }
  return Status::Ok();
}

Status ConfigTable::At(const std::string& key,
                       const std::string& message) const {
  const std::string text = fmt::format("{}: {}", impl_->FullName(key), message);
  const toml::node* node = impl_->Find(key);
  if (node == nullptr && !impl_->name.empty()) node = impl_->table;
  if (node != nullptr) return ErrorAtLine(impl_->path, *node, text);
  return Status(Errc::kInvalidArgument,
                fmt::format("{}: {}", impl_->path, text));
}

}  // namespace vellum
