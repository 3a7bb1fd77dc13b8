// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "cli/common.h"
#include "cli/verbs.h"
#include "core/error.h"

namespace vitrail::cli {
namespace {

std::string options_of(const CLI::App& verb) {
  std::string words;
  for (const CLI::Option* option : verb.get_options())
    for (const std::string& name : option->get_lnames()) words += " --" + name;
  return words;
}

// One `case` line a verb; files complete by themselves where no option is being typed. Both shells read it:
// zsh runs bash completions through bashcompinit.
std::string script(const CLI::App& app, const std::string& shell) {
  std::string text = shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "";
  std::string verbs, cases;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; })) {
    verbs += " " + verb->get_name();
    cases += fmt::format("    {}) words=\"{}\" ;;\n", verb->get_name(), options_of(*verb));
  }
  return text + fmt::format(R"(_vitrail() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "{}" -- "$current"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{}  esac
  case "$current" in
    -*) COMPREPLY=($(compgen -W "$words" -- "$current")) ;;
    *) COMPREPLY=($(compgen -f -- "$current")) ;;
  esac
}}
complete -o filenames -F _vitrail vitrail
)",
                            verbs.substr(1), cases);
}

}  // namespace

void add_completion(CLI::App& app, Action& action) {
  auto shell = std::make_shared<std::string>();
  CLI::App* verb =
      app.add_subcommand("completion", "Print the completion script: source <(vitrail completion bash)");
  verb->add_option("SHELL", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  verb->callback([shell, &app, &action] {
    action = [shell, &app]() -> Status {
      print(script(app, *shell));
      return {};
    };
  });
}

}  // namespace vitrail::cli
