//! `zmq-auth policy schema`.

use std::path::Path;

use crate::run::run;

#[test]
fn the_schema_names_what_a_file_may_say() {
    let outcome = run(Path::new("."), &["policy", "schema"]);
    let schema = outcome.json();
    assert_eq!((outcome.code, schema["title"].as_str()), (0, Some("zmq-auth policy")));
    assert_eq!(schema["additionalProperties"], false);
    let fields = |object: &serde_json::Value| {
        let mut names: Vec<String> = object.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(fields(&schema["properties"]), ["addresses", "domain", "gate", "limits", "nats", "revocation"]);
    let curve = &schema["$defs"]["Curve"]["properties"];
    assert_eq!(fields(curve), ["any", "bucket", "directory", "keys", "nats", "user_id"]);
    assert!(curve["directory"]["description"].as_str().unwrap().contains("NAME.key"));
    assert_eq!(run(Path::new("."), &["policy", "schema", "--json"]).json(), schema);
}
