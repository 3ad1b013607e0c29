//! `zmq-auth policy schema`.

use std::path::Path;

use crate::run::run;

#[test]
fn the_schema_names_what_a_file_may_say() {
    let outcome = run(Path::new("."), &["policy", "schema"]);
    let schema = outcome.json();
    assert_eq!((outcome.code, schema["title"].as_str()), (0, Some("zmq-auth policy")));
    assert_eq!(schema["additionalProperties"], false);
    let tables: Vec<_> = schema["properties"].as_object().unwrap().keys().collect();
    assert_eq!(tables, ["addresses", "domain", "limits", "revocation"]);
    let curve = schema["$defs"]["Curve"]["properties"].as_object().unwrap();
    assert_eq!(curve.keys().collect::<Vec<_>>(), ["any", "directory", "keys", "user_id"]);
    assert!(curve["directory"]["description"].as_str().unwrap().contains("NAME.key"));
    assert_eq!(run(Path::new("."), &["policy", "schema", "--json"]).json(), schema);
}
