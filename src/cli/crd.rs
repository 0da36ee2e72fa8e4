//! `portcullis crd`: the definition of the custom resource.

use crate::kubernetes;

/// Print the `CustomResourceDefinition` of `GatedRollout`, as YAML
#[derive(Debug, clap::Args)]
pub(super) struct Crd {}

impl Crd {
    #[expect(clippy::unused_self, reason = "as every command is")]
    pub(super) fn run(&self) -> anyhow::Result<()> {
        anstream::print!("{}", serde_saphyr::to_string(&kubernetes::definition())?);
        Ok(())
    }
}
