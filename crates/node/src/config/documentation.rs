//! `docs/configuration.md` and `configs/` against the structs.

use std::path::Path;

use super::*;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn document() -> String {
    std::fs::read_to_string(Path::new(ROOT).join("docs/configuration.md")).unwrap()
}

/// The keys of the document's tables: path, kind and default.
fn rows(document: &str) -> Vec<(String, String, String)> {
    let cells = |line: &str| line.split(" | ").map(|cell| cell.trim_matches(['|', ' ']).to_owned()).collect();
    let rows = document.lines().map(|line| -> Vec<String> { cells(line) });
    let keys = rows.filter(|row| row.len() == 4 && row[0].starts_with('`') && row[0].contains('.'));
    keys.map(|row| (row[0].replace('`', ""), row[1].clone(), row[2].clone())).collect()
}

/// The examples of the document, each with the line it begins at.
fn examples(document: &str) -> Vec<(usize, String)> {
    let mut examples: Vec<(usize, String)> = Vec::new();
    let mut is_inside = false;
    for (number, line) in document.lines().enumerate() {
        match (is_inside, line) {
            (false, "```yaml") => {
                examples.push((number + 1, String::new()));
                is_inside = true;
            }
            (true, "```") => is_inside = false,
            (true, line) => {
                let example = examples.last_mut().unwrap();
                example.1.push_str(line);
                example.1.push('\n');
            }
            _ => {}
        }
    }
    examples
}

#[test]
fn the_tables_have_every_key_with_its_kind_and_default() {
    let documented = rows(&document());
    let keys = Config::keys();
    for key in &keys {
        let default = match key.default.as_str() {
            "none" => "none".to_owned(),
            text => format!("`{text}`"),
        };
        let row = documented.iter().find(|row| row.0 == key.path);
        let row = row.unwrap_or_else(|| panic!("docs/configuration.md does not have {}", key.path));
        assert_eq!((row.1.as_str(), &row.2), (key.kind, &default), "{}", key.path);
    }
    for row in &documented {
        assert!(
            keys.iter().any(|key| key.path == row.0),
            "docs/configuration.md has {}, which there is not",
            row.0
        );
    }
    assert_eq!(documented.len(), keys.len(), "a key stands twice");
}

#[test]
fn every_example_of_the_document_loads() {
    let document = document();
    let examples = examples(&document);
    assert!(examples.len() >= 9, "only {} examples were found", examples.len());
    for (line, example) in examples {
        parse(&example)
            .unwrap_or_else(|error| panic!("docs/configuration.md, example at line {line}: {error}"));
    }
}

#[test]
fn every_file_of_configs_loads() {
    let mut files = 0;
    for entry in std::fs::read_dir(Path::new(ROOT).join("configs")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        files += 1;
    }
    assert!(files >= 3, "only {files} files were found");
}

#[test]
fn the_annotated_file_is_the_defaults() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("configs/single-node.yaml")).unwrap();
    let mut config = parse(&text).unwrap();
    assert_eq!(config.native_address(), Config::default().native_address());
    config.listen.native = None;
    // All that sets them apart: here a file asked for them.
    config.zeromq.endpoints.iter_mut().for_each(|endpoint| endpoint.is_built_in = true);
    assert_eq!(config, Config::default());
}
