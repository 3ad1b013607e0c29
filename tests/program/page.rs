//! The operator's page: runs its commands, in order, in an empty directory.

pub(crate) use crate::shell::run;

const PAGE: &str = include_str!("../../src/operation.md");

#[test]
fn every_command_does_what_the_page_says() {
    // A free port of this machine.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let blocks = PAGE.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<String> = blocks.map(|block| block.replace(":5555", &format!(":{port}"))).collect();
    let directory = tempfile::tempdir().unwrap();
    let printed = run(directory.path(), &blocks);
    let [set_up, _alice, add, _listen, ping, rotate, find, revoke] = &printed[..] else {
        panic!("eight blocks of commands: {printed:#?}");
    };
    assert!(set_up.contains("monitor: added"), "{set_up}");
    assert!(add.contains("clients/alice.key: ") && add.contains("accepted (200), user id \"alice\""), "{add}");
    assert!(ping.contains("authenticated (CURVE"), "{ping}");
    assert!(rotate.matches("authenticated (CURVE").count() >= 2, "both keys: {rotate}");
    assert!(rotate.contains("alice.until-") && rotate.contains("valid until"), "{rotate}");
    assert!(find.contains("alice.key ") && find.contains("revoked: ") && find.contains("denied (400)"), "{find}");
    assert!(revoke.contains("denied (400)") && revoke.contains("denied (400)"), "{revoke}");
    let log = std::fs::read_to_string(directory.path().join("server/decisions.log")).unwrap();
    assert!(log.matches(" Allowed CURVE in domain \"lab\" from 127.0.0.1").count() >= 3, "{log}");
    assert!(log.matches(" Denied CURVE in domain \"lab\" from 127.0.0.1").count() >= 2, "{log}");
}
