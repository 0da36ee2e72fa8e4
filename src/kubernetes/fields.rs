//! Who has written a part of an object, as far as its `managedFields` tell.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::Value;

/// Who is named where nobody is known.
pub(super) const NOBODY: &str = "kubernetes";

/// The program that wrote the field last: `kubectl-edit`, `argocd-controller`. `way` are the keys to it.
pub(super) fn writer(metadata: &ObjectMeta, way: &[&str]) -> String {
    let wrote = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        let at = way.iter().try_fold(fields?, |fields, key| fields.get(format!("f:{key}")));
        at.filter(|_| entry.subresource.is_none()).map(Value::is_object)
    };
    let entries = metadata.managed_fields.iter().flatten().filter(|entry| wrote(entry).is_some());
    let last = entries.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last.and_then(|entry| entry.manager.clone()).unwrap_or_else(|| NOBODY.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_who_wrote_a_field_is_its_writer_and_a_status_does_not_count() {
        let entry = |manager: &str, time: &str, fields: Value| json!({ "manager": manager, "time": time, "operation": "Update", "fieldsV1": fields });
        let mut entries = json!([
            entry("kubectl-create", "2026-01-01T00:00:00Z", json!({ "f:spec": { "f:green": { "f:version": {} } } })),
            entry("kubectl-edit", "2026-01-02T00:00:00Z", json!({ "f:spec": { "f:green": { "f:version": {} } } })),
            entry(
                "kubectl-annotate",
                "2026-01-03T00:00:00Z",
                json!({ "f:metadata": { "f:annotations": { "f:portcullis.dev/approve": {} } } })
            ),
            entry("portcullis", "2026-01-04T00:00:00Z", json!({ "f:spec": {} }))
        ]);
        entries[3]["subresource"] = "status".into();
        let metadata: ObjectMeta = serde_json::from_value(json!({ "managedFields": entries })).expect("metadata");
        assert_eq!(writer(&metadata, &["spec"]), "kubectl-edit");
        assert_eq!(writer(&metadata, &["metadata", "annotations", "portcullis.dev/approve"]), "kubectl-annotate");
        assert_eq!(writer(&metadata, &["metadata", "annotations", "portcullis.dev/pause"]), NOBODY);
    }
}
