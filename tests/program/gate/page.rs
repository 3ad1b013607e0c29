//! The page about gates: runs its commands in an empty directory.

use crate::{page, python};

#[test]
fn the_three_commands_do_what_the_page_says() {
    let (address, python) = (super::free_address(), python::python().display().to_string());
    let blocks =
        include_str!("../../../src/gate.md").split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let blocks: Vec<String> = blocks
        .map(|block| block.replace("127.0.0.1:5555", &address).replace("python3 ", &format!("{python} ")))
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let printed = page::run(directory.path(), &blocks);
    assert_eq!(printed.len(), 2);
    assert!(printed[1].lines().any(|line| line == "hello, alice"), "{printed:?}");
    assert!(printed[1].contains("user id \"alice\": OK"), "{printed:?}");
}
