//! What a virtual machine does.

use std::path::PathBuf;
use std::str::FromStr;

/// A command, and what it needs.
#[derive(Clone, Debug, Default)]
pub struct Task {
    /// The command and its arguments; nothing is a shell on the console.
    pub command: Vec<String>,
    /// Its environment, beside `PATH` and `HOME`.
    pub environment: Vec<Variable>,
    /// Programs of this machine that go to `/bin`, with their libraries.
    pub programs: Vec<PathBuf>,
    /// Files and folders of this machine that go to `/lab`.
    pub files: Vec<PathBuf>,
}

impl Task {
    /// The script that becomes the command.
    pub fn script(&self) -> String {
        let export = |Variable { name, value }: &Variable| format!("export {name}={}\n", quoted(value));
        let words: Vec<String> = self.command.iter().map(|word| quoted(word)).collect();
        let last = if words.is_empty() {
            "exec setsid cttyhack sh".to_owned()
        } else {
            format!("exec {}", words.join(" "))
        };
        let exports: String = self.environment.iter().map(export).collect();
        format!("#!/bin/sh\ncd /lab\n{exports}{last}\n")
    }
}

/// A variable of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let letter = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() && name.chars().all(letter) => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(format!("`{text}` is no NAME=VALUE")),
        }
    }
}

/// A word that the shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_reads_every_word_as_it_was_written() {
        let words = ["", "a b", "it's", "$HOME", "`id`", "x\ny", "--", "\\", "\""];
        let mut command = vec!["printf".to_owned(), "[%s]".to_owned()];
        command.extend(words.map(str::to_owned));
        let environment = vec!["SAID=it's $5".parse().unwrap()];
        let script = Task { command, environment, ..Task::default() }.script().replace("cd /lab\n", "");
        let run = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let expected: String = words.map(|word| format!("[{word}]")).concat();
        assert_eq!(String::from_utf8(run.stdout).unwrap(), expected);
    }

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        let variable: Variable = "A_1=b=c".parse().unwrap();
        assert_eq!(variable, Variable { name: "A_1".to_owned(), value: "b=c".to_owned() });
        for wrong in ["A", "=b", "a b=c", "a;b=c"] {
            assert_eq!(wrong.parse::<Variable>().unwrap_err(), format!("`{wrong}` is no NAME=VALUE"));
        }
    }
}
