//! A disk that forgets what was written to it.

use std::fs;
use std::path::{Path, PathBuf};

use cairn_node::control::api::{Request, Urgency};

use super::node::{Node, ON_LOOPBACK, acquaint, until};

/// Larger than what lies within the database: it has a file of its own.
const FILE_BYTES: usize = 600_000;

fn segments(home: &Path) -> Vec<PathBuf> {
    let Ok(folders) = fs::read_dir(home.join("store/segments")) else { return Vec::new() };
    let folders = folders.flatten().filter(|folder| folder.path().is_dir());
    folders
        .flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten())
        .map(|file| file.path())
        .collect()
}

#[test]
fn what_rots_on_a_carrier_is_asked_for_again_and_arrives_whole() {
    let root = tempfile::tempdir().unwrap();
    let [one, two, three] = ["one", "two", "three"].map(|name| Node::new(root.path(), name, ON_LOOPBACK));
    for node in [&one, &two, &three] {
        node.start();
    }
    acquaint(&one, &three);
    three.kill();
    acquaint(&one, &two);
    let (file, content) = (root.path().join("map.png"), vec![7; FILE_BYTES]);
    fs::write(&file, &content).unwrap();
    let request = Request::Send {
        to: three.name.into(),
        text: "the map".into(),
        file: Some(file),
        key: "map".into(),
        class: Urgency::Normal,
    };
    one.ask(&request);
    until("the carrier has it", || if two.status().bundles == 1 { Ok(()) } else { Err(two.log()) });
    two.kill();
    let damaged = segments(&two.home);
    assert_eq!(damaged.len(), 1, "one bundle, one file");
    let mut bytes = fs::read(&damaged[0]).unwrap();
    bytes[FILE_BYTES / 2] ^= 1;
    fs::write(&damaged[0], &bytes).unwrap();

    two.start();
    until("the damage is found", || {
        let found = two.status().counters.get("damaged values found on the disk").copied();
        if found.is_some() { Ok(()) } else { Err(two.log()) }
    });
    until("it comes again", || if two.status().bundles == 1 { Ok(()) } else { Err(two.log()) });
    assert!(two.status().warnings.is_empty(), "{:?}", two.status().warnings);
    one.kill();
    three.start();
    acquaint(&two, &three);
    until("it arrives", || if three.texts() == ["the map"] { Ok(()) } else { Err(three.log()) });
    let saved = root.path().join("saved.png");
    three.ask(&Request::InboxSave { number: 1, path: saved.clone() });
    assert_eq!(fs::read(saved).unwrap(), content);
}
