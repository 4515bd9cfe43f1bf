//! `cargo xtask publish`: makes `dist/`, the spec for those who have nothing else of this project.
//!
//! Everything is made in memory first, from the files below `spec/` and nothing else: no clock, no user, no folder's name.
//! So the same sources make the same bytes, and a folder is never left half-made.

mod changelog;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use layer_payments_reference::{Document, Links};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::codegen::{SPEC, hex};

const LOCAL: &str = "spec/local.yaml";
const CHANGELOG: &str = "spec/CHANGELOG.md";
const SUMS: &str = "SHA256SUMS";

/// What is published as it is: its path in the workspace, and in what is made.
const COPIES: [(&str, &str); 7] = [
    (SPEC, "openapi/layer-payments.yaml"),
    (
        "spec/layer-payments-3.1.json",
        "openapi/layer-payments-3.1.json",
    ),
    (LOCAL, "openapi/local.yaml"),
    (CHANGELOG, "CHANGELOG.md"),
    ("spec/decisions.md", "decisions.md"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
];

/// The same for folders, of which JSON, Markdown and Python is published.
const FOLDERS: [(&str, &str); 2] = [("spec/examples", "examples"), ("spec/rules", "rules")];

/// What the `$id` of a schema begins with. It is a name that no two versions share, and by its top-level domain, which
/// exists for that, no address: nobody can put something else there.
const NAMES: &str = "https://layer-payments.invalid";

const LINKS: Links<'_> = Links {
    pages: &[
        ("Payments", "index.html"),
        ("The local server", "local.html"),
    ],
    schemas: "index.html",
    documents: &[
        ("layer-payments.yaml", "../openapi/layer-payments.yaml"),
        ("layer-payments.json", "../openapi/layer-payments.json"),
        ("OpenAPI 3.1", "../openapi/layer-payments-3.1.json"),
        ("local.yaml", "../openapi/local.yaml"),
        ("local.json", "../openapi/local.json"),
    ],
};

/// Texts by their path, with `/` between its parts.
type Files = BTreeMap<String, String>;

/// Makes the folder, `dist` in the workspace unless another is named.
///
/// # Errors
///
/// What is wrong with the sources, and a folder that holds something else.
pub(crate) fn run(root: &Path, out: Option<&Path>) -> anyhow::Result<()> {
    let files = files(root)?;
    let dist = root.join("dist");
    let out = out.unwrap_or(&dist);
    write(out, &files)?;
    eprintln!("{} files in {}", files.len(), out.display());
    Ok(())
}

/// Everything that is published.
fn files(root: &Path) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for (from, to) in COPIES {
        files.insert(to.to_owned(), read(root, from)?);
    }
    for (from, to) in FOLDERS {
        folder(root, from, to, &mut files)?;
    }

    let public = document(root, SPEC)?;
    let local = document(root, LOCAL)?;
    let version = public.version().context("the spec has no version")?;
    let version_of_local = local.version().unwrap_or_default();
    ensure!(
        version_of_local == version,
        "{SPEC} is version {version} and {LOCAL} is {version_of_local}: they are published together, so give both the \
         higher one"
    );
    changelog::check(&files["CHANGELOG.md"], version).with_context(|| CHANGELOG.to_owned())?;
    references(&public, &local)?;

    files.insert("VERSION".to_owned(), format!("{version}\n"));
    files.insert(
        "README.md".to_owned(),
        readme(
            version,
            &files["rules/catalogue.json"],
            &clients(&read(root, "README.md")?)?,
        )?,
    );
    files.insert(
        "openapi/layer-payments.json".to_owned(),
        line_ended(public.json()),
    );
    files.insert(
        "openapi/local.json".to_owned(),
        // Whoever reads JSON alone isn't sent to the YAML.
        line_ended(
            local
                .json()
                .replace("\"layer-payments.yaml#", "\"layer-payments.json#"),
        ),
    );
    files.insert("reference/index.html".to_owned(), public.page(&LINKS));
    files.insert("reference/local.html".to_owned(), local.page(&LINKS));
    for (document, folder) in [(&public, "schemas/"), (&local, "schemas/local/")] {
        let base = format!("{NAMES}/{version}/{folder}");
        for (name, schema) in document.json_schemas(&base, "../") {
            files.insert(format!("{folder}{name}.json"), line_ended(schema));
        }
    }
    files.insert(SUMS.to_owned(), sums(&files));
    Ok(files)
}

/// The workspace's own samples of clients in other languages, which its tests run, for a folder that is laid out
/// otherwise.
fn clients(readme: &str) -> anyhow::Result<String> {
    let section = readme
        .split_once("\n## Use it from other languages\n")
        .and_then(|(_, rest)| rest.split_once("\n## "))
        .and_then(|(section, _)| section.find("### ").map(|start| &section[start..]))
        .context("README.md has no samples of clients in other languages")?;
    let section = section
        .replace(
            "spec/layer-payments-3.1.json",
            "openapi/layer-payments-3.1.json",
        )
        .replace(
            "(tests/languages/java/Scenario.java)",
            "(decisions.md#d75-generators-of-other-languages)",
        );
    for elsewhere in ["](spec/", "](tests/", "](crates/"] {
        ensure!(
            !section.contains(elsewhere),
            "a sample of a client in README.md links to {elsewhere}..., which isn't published"
        );
    }
    Ok(section)
}

fn readme(version: &str, catalogue: &str, clients: &str) -> anyhow::Result<String> {
    let rules: Vec<Value> = serde_json::from_str(catalogue).context("reading the catalogue")?;
    Ok(include_str!("README.md")
        .replace("\r\n", "\n")
        .replace("VERSION\n\n", &format!("{version}\n\n"))
        .replace("RULES", &rules.len().to_string())
        .replace("CLIENTS\n", clients))
}

/// The text of a file; line ends are normalised, so that a checkout on Windows makes the same bytes.
fn read(root: &Path, path: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}"))?;
    Ok(text.replace("\r\n", "\n"))
}

fn document(root: &Path, path: &str) -> anyhow::Result<Document> {
    Document::from_yaml(&read(root, path)?).with_context(|| format!("reading {path}"))
}

/// Collects the files below a folder. Hidden ones are a desktop's, and anything else that is no text of the spec was put
/// there by mistake.
fn folder(root: &Path, from: &str, to: &str, files: &mut Files) -> anyhow::Result<()> {
    let entries = fs::read_dir(root.join(from)).with_context(|| format!("reading {from}"))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("reading {from}"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let (from, to) = (format!("{from}/{name}"), format!("{to}/{name}"));
        // Python keeps what it made of a program that was run there.
        if name.starts_with('.') || name == "__pycache__" {
            continue;
        } else if entry.file_type()?.is_dir() {
            folder(root, &from, &to, files)?;
        } else if [".json", ".md", ".py"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            files.insert(to, read(root, &from)?);
        } else {
            bail!(
                "{from} is neither JSON, Markdown nor Python; everything below its folder is published, so take it away"
            );
        }
    }
    Ok(())
}

/// Checks that references lead somewhere: those of the spec inside of it, those of the other document there or here.
fn references(public: &Document, local: &Document) -> anyhow::Result<()> {
    let [public, local] = [public, local].map(|document| {
        serde_json::from_str::<Value>(&document.json()).context("reading a document's JSON")
    });
    let (public, local) = (public?, local?);
    for (of, document) in [(SPEC, &public), (LOCAL, &local)] {
        let mut found = BTreeSet::new();
        collect(document, &mut found);
        for reference in found {
            let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
            let target = match file {
                "" => document,
                "layer-payments.yaml" if of == LOCAL => &public,
                _ => bail!("{of} refers to {reference}, which isn't published with it"),
            };
            ensure!(
                target.pointer(pointer).is_some(),
                "{of} refers to {reference}, where nothing is"
            );
        }
    }
    Ok(())
}

/// Collects the references below a value. In these documents no example has a key of that name.
fn collect<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(keys) => {
            if let Some(Value::String(reference)) = keys.get("$ref") {
                found.insert(reference);
            }
            keys.values().for_each(|value| collect(value, found));
        }
        _ => {}
    }
}

fn line_ended(mut text: String) -> String {
    text.push('\n');
    text
}

/// A line a file, as `sha256sum -c` reads it, in the order of the paths.
fn sums(files: &Files) -> String {
    let lines = files
        .iter()
        .map(|(path, text)| format!("{}  {path}\n", hex(&Sha256::digest(text.as_bytes()))));
    lines.collect()
}

/// Writes the files into a folder beside the wanted one, and puts it in its place.
fn write(out: &Path, files: &Files) -> anyhow::Result<()> {
    let out = std::path::absolute(out).context("finding the folder to make")?;
    let made_before = out.exists();
    if made_before {
        replaceable(&out)?;
    }
    let parent = out
        .parent()
        .context("the folder to make can't be the root")?;
    fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
    let scratch = tempfile::Builder::new()
        .prefix(".publish-")
        .tempdir_in(parent)
        .with_context(|| format!("making a folder in {}", parent.display()))?;
    let new = scratch.path().join("new");
    for (path, text) in files {
        let path = new.join(path);
        let folder = path.parent().unwrap_or(&new);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&path, text))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    if made_before {
        fs::rename(&out, scratch.path().join("old"))
            .with_context(|| format!("replacing {}", out.display()))?;
    }
    fs::rename(&new, &out).with_context(|| format!("making {}", out.display()))
}

/// Refuses to replace a folder that holds what no earlier run made.
fn replaceable(out: &Path) -> anyhow::Result<()> {
    let sums = match fs::read_to_string(out.join(SUMS)) {
        Ok(sums) => sums,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", out.display())),
    };
    let mut made: BTreeSet<_> = sums
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(_, path)| out.join(path))
        .collect();
    made.insert(out.join(SUMS));
    let mut folders = vec![out.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if !made.contains(&path) {
                bail!(
                    "{} isn't from `cargo xtask publish`, which would delete it; move it away, or name another folder",
                    path.display()
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace_root;

    /// Copies what is published into another workspace.
    fn copy(from: &Path, to: &Path, change: impl Fn(&str) -> String) {
        let mut sources = Files::new();
        for path in COPIES
            .map(|(path, _)| path)
            .into_iter()
            .chain(["README.md"])
        {
            sources.insert(path.to_owned(), read(from, path).unwrap());
        }
        for (path, _) in FOLDERS {
            folder(from, path, path, &mut sources).unwrap();
        }
        for (path, text) in sources {
            let path = to.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, change(&text)).unwrap();
        }
    }

    /// A copy of this workspace's sources with one text in place of another.
    fn changed(path: &str, from: &str, to: &str) -> tempfile::TempDir {
        let other = tempfile::tempdir().unwrap();
        copy(&workspace_root(), other.path(), str::to_owned);
        let path = other.path().join(path);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(path, text.replacen(from, to, 1)).unwrap();
        other
    }

    #[test]
    fn another_folder_and_other_line_ends_make_the_same_bytes() {
        let root = workspace_root();
        let other = tempfile::tempdir().unwrap();
        copy(&root, other.path(), |text| text.replace('\n', "\r\n"));
        fs::write(other.path().join("spec/rules/.hidden"), "a").unwrap();
        let files = files(&root).unwrap();
        assert!(files.len() > 150, "{}", files.len());
        assert!(files == super::files(other.path()).unwrap());
        let root = root.to_string_lossy().into_owned();
        for (path, text) in &files {
            assert!(!text.contains(&root), "{path} names this folder");
            assert!(text.ends_with('\n') && !text.contains('\r'), "{path}");
        }
    }

    #[test]
    fn samples_of_clients_name_only_what_is_published() {
        let made = files(&workspace_root()).unwrap();
        let readme = &made["README.md"];
        for language in ["### TypeScript", "### Python", "### Java"] {
            assert!(readme.contains(language), "{language}");
        }
        assert!(!readme.contains("spec/layer-payments"), "{readme}");
        let other = changed(
            "README.md",
            "### Python\n",
            "### Python\n\n[a](spec/local.yaml)\n",
        );
        let error = format!("{:#}", files(other.path()).unwrap_err());
        assert!(error.contains("links to ](spec/"), "{error}");
    }

    #[test]
    fn a_version_without_an_entry_is_refused() {
        let other = changed(CHANGELOG, "## [0.1.0]", "## [0.0.9]");
        let error = format!("{:#}", files(other.path()).unwrap_err());
        assert!(
            error.starts_with("spec/CHANGELOG.md: the newest entry is for 0.0.9"),
            "{error}"
        );
        let other = changed(LOCAL, "version: 0.1.0", "version: 0.2.0");
        let error = format!("{:#}", files(other.path()).unwrap_err());
        assert!(error.contains("give both the higher one"), "{error}");
    }

    #[test]
    fn references_that_lead_out_or_nowhere_are_refused() {
        let good = "$ref: \"#/components/parameters/BusinessId\"";
        for (path, reference, says) in [
            (SPEC, "other.yaml#/a", "isn't published with it"),
            (SPEC, "#/components/parameters/Busines", "where nothing is"),
            (
                LOCAL,
                "layer-payments.yaml#/components/a",
                "where nothing is",
            ),
        ] {
            let other = changed(path, good, &format!("$ref: \"{reference}\""));
            let error = files(other.path()).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(reference), "{error}");
        }
    }

    #[test]
    fn a_stray_file_is_refused() {
        let other = changed("LICENSE-MIT", "MIT", "MIT");
        fs::write(other.path().join("spec/rules/vectors/a.json.orig"), "a").unwrap();
        let error = files(other.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("spec/rules/vectors/a.json.orig is"),
            "{error}"
        );
    }

    #[test]
    fn what_an_earlier_run_made_is_replaced_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let out = scratch.path().join("a/dist");
        let made = |names: &[&str]| {
            let mut files: Files = names
                .iter()
                .map(|name| ((*name).to_owned(), "text\n".to_owned()))
                .collect();
            files.insert(SUMS.to_owned(), sums(&files));
            files
        };
        write(&out, &made(&["old/a", "b"])).unwrap();
        write(&out, &made(&["b"])).unwrap();
        assert!(out.join("b").exists() && !out.join("old").exists());
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(scratch.path().join("a")).unwrap().count(), 1);

        fs::write(out.join("mine"), "precious").unwrap();
        let error = write(&out, &made(&["b"])).unwrap_err().to_string();
        assert!(error.contains("mine isn't from"), "{error}");
        assert_eq!(fs::read_to_string(out.join("mine")).unwrap(), "precious");
    }
}
