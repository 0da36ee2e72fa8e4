//! `portcullis check FILE`: every fault of a configuration, with line and column, or what it is warned of.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::output::Output;
use crate::config::{self, Config, Environment};
use crate::control::restore::Beginning;
use crate::journal::{Journal, OpenError};

/// Show every fault of a configuration file
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Check {
    /// The configuration file; the variables, the certificates, the tokens file and the secrets that it names are checked too
    pub file: PathBuf,
    /// Say where the versions in this journal are not those of the file; that of a proxy that runs tells `status`
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}

const FAULTY: u8 = 1;
const UNREADABLE: u8 = 2;

impl Check {
    /// 0 without faults, 1 with faults, 2 when the file cannot be read.
    pub(super) fn run(&self) -> ExitCode {
        let name = self.file.display().to_string();
        let text = match config::read_text(&self.file) {
            Ok(text) => text,
            Err(error) => {
                anstream::eprintln!("error: {name} cannot be read: {error}");
                return ExitCode::from(UNREADABLE);
            }
        };
        let folder = self.file.parent().unwrap_or(Path::new(""));
        let checked = config::parse(&text, &name, folder, &Environment::of_process());
        match &checked {
            Ok(config) if self.output.is_json() => {
                let (difference, unread) = match self.difference(config) {
                    Ok(difference) => (difference, None),
                    Err(error) => (None, Some(error.to_string())),
                };
                let shown = json!({
                    "file": name, "faults": [], "warnings": config.warnings,
                    "difference": difference, "journalUnread": unread,
                });
                anstream::println!("{shown:#}");
            }
            Ok(config) => {
                match self.difference(config) {
                    Ok(Some(difference)) => anstream::eprintln!("note: {difference}"),
                    Ok(None) => {}
                    Err(error) => anstream::eprintln!("note: the journal was not read: {error}"),
                }
                if !config.warnings.is_empty() {
                    anstream::eprintln!("{}", config.warnings.styled());
                }
                anstream::println!("{name}: no faults");
            }
            Err(faults) if self.output.is_json() => {
                anstream::println!("{:#}", json!({ "file": name, "faults": faults }));
            }
            Err(faults) => anstream::eprintln!("{}", faults.styled()),
        }
        ExitCode::from(if checked.is_ok() { 0 } else { FAULTY })
    }

    /// Where a start with this journal would not begin with the versions of the file.
    fn difference(&self, config: &Config) -> Result<Option<String>, OpenError> {
        let found = self.data.as_deref().map(Journal::look).transpose()?.flatten();
        let state = found.and_then(|found| found.state);
        Ok(state.and_then(|state| Beginning::restored(state, config).difference(config)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_exit_code_tells_no_faults_from_faults_from_no_file() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("portcullis.yaml");
        let check = |output| Check { file: file.clone(), data: None, output }.run();
        let (text, json) = (Output::default(), Output::json());
        assert_eq!(check(text), ExitCode::from(2));
        fs::write(&file, "listen: 127.0.0.1:0\n").expect("the folder is writable");
        assert_eq!((check(text), check(json)), (ExitCode::from(1), ExitCode::from(1)));
        let whole = r#"
            listen: 127.0.0.1:0
            admin: { listen: 127.0.0.1:0 }
            blue: { version: v1, endpoints: ["127.0.0.1:9001"] }
            green: { version: v2, endpoints: ["127.0.0.1:9002"] }
        "#;
        fs::write(&file, whole).expect("the folder is writable");
        assert_eq!((check(text), check(json)), (ExitCode::SUCCESS, ExitCode::SUCCESS));
        fs::write(&file, [0xff, 0xfe]).expect("the folder is writable");
        assert_eq!(check(text), ExitCode::from(2));
    }
}
