//! `portcullis token`.

use anyhow::bail;
use clap::ValueEnum;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::output::Output;
use crate::config;

/// Make a token for the admin API: the token goes to standard error, once, and the entry for the file that `admin.tokens` names
/// to standard output; as JSON both go there
#[derive(Debug, clap::Args)]
pub(super) struct Make {
    /// What its bearer may do
    #[arg(long)]
    role: Role,
    /// Who it is for, as decisions name them
    #[arg(long)]
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Role {
    /// Look at everything
    Viewer,
    /// Change everything too
    Operator,
}

/// Nobody guesses 256 bits.
const SECRET_BYTES: usize = 32;

/// By which programs that look for lost secrets know it.
const PREFIX: &str = "portcullis_";

impl Make {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let name = config::version_name(&self.name).map_err(|wrong| anyhow::anyhow!("--name {wrong}"))?;
        let mut secret = [0; SECRET_BYTES];
        if SystemRandom::new().fill(&mut secret).is_err() {
            bail!("the system gives no random bytes");
        }
        let token = format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&secret));
        let digest = HEXLOWER.encode(&Sha256::digest(&token));
        let role = match self.role {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
        };
        if self.output.is_json() {
            let entry = json!({ "name": name, "role": role, "sha256": digest });
            anstream::println!("{:#}", json!({ "token": token, "entry": entry }));
            return Ok(());
        }
        anstream::eprintln!("token: {token}");
        // JSON is YAML, and quotes what needs it.
        anstream::println!("- {{ name: {}, role: {role}, sha256: \"{digest}\" }}", json!(name));
        Ok(())
    }
}
