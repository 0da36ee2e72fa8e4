//! The resource as it was taken last, kept beside the journal: what a process begins with that the API server does not
//! answer.

use std::io::{self, Write};
use std::path::Path;

use tempfile::NamedTempFile;

use super::resource::{GatedRollout, GatedRolloutStatus};
use crate::config;

const FILE: &str = "resource.json";

/// Replaces what is kept, whole or not at all. Of the status only what makes the configuration is kept: the rest is old by the
/// time that it is read.
pub(super) fn keep(folder: &Path, resource: &GatedRollout) -> io::Result<()> {
    let candidate = resource.status_or_none().candidate;
    let status = Some(GatedRolloutStatus { candidate, ..GatedRolloutStatus::default() });
    let kept = GatedRollout { status, ..resource.clone() };
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec_pretty(&kept)?)?;
    file.persist(folder.join(FILE))?;
    Ok(())
}

/// What was kept of the resource with this name; none where that cannot be read.
pub(super) fn kept(folder: &Path, namespace: &str, name: &str) -> Option<GatedRollout> {
    let text = config::read_text(&folder.join(FILE)).ok()?;
    let kept: GatedRollout = serde_json::from_str(&text).ok()?;
    let metadata = &kept.metadata;
    let is_it = metadata.name.as_deref() == Some(name) && metadata.namespace.as_deref() == Some(namespace);
    is_it.then_some(kept)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_kept_is_the_resource_of_that_name_without_what_grows_old() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        assert!(kept(folder.path(), "shop", "checkout").is_none());
        let resource: GatedRollout = serde_json::from_value(json!({
            "apiVersion": "portcullis.dev/v1alpha1", "kind": "GatedRollout",
            "metadata": { "namespace": "shop", "name": "checkout" }, "spec": { "service": "checkout" },
            "status": { "epoch": 3, "candidate": { "deployment": "d", "version": "v2", "template": "t", "actor": "a" } },
        }))
        .expect("a resource");
        keep(folder.path(), &resource).expect("it can be written");
        let found = kept(folder.path(), "shop", "checkout").expect("it is there");
        assert_eq!(found.spec, resource.spec);
        let status = found.status_or_none();
        assert_eq!((status.epoch, status.candidate), (None, resource.status_or_none().candidate));
        assert!(kept(folder.path(), "shop", "other").is_none() && kept(folder.path(), "other", "checkout").is_none());
        std::fs::write(folder.path().join(FILE), "{").expect("it can be written");
        assert!(kept(folder.path(), "shop", "checkout").is_none());
    }
}
