//! `cargo xtask lint`: what the linters of other projects say about the documents.
//!
//! Four of them, since none finds everything: Spectral, Redocly, openapi-spec-validator and openapi-generator, by their
//! own recommended rules, in the releases and with the settings of `spec/lint/`. Whatever one of them says, a mere hint
//! too, fails the task. The rules that only this project has are tests (`tests/suite/document.rs`).
//!
//! A linter that is set up wrongly says nothing, as it does of a document without faults. So in the same run, with the
//! same settings, each gets documents with one planted fault each, and has to find it.

mod planted;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use self::planted::Planted;
use crate::tools;

/// The documents, relative to the workspace's root.
const DOCUMENTS: [&str; 2] = [crate::codegen::SPEC, "spec/local.yaml"];

/// What a linter says that is wrong, by the start of its message: the linter, the document, and the message.
///
/// openapi-generator takes a schema that only another document's operations reach for an unused one. Spectral and Redocly
/// look for unused ones too, and know better; of the one that is unused they are told.
const WRONG: [(Linter, &str, &str); 1] = [(Linter::Generator, "spec/local.yaml", "Unused model: ")];

/// Lints the documents, and checks that the linters find faults.
///
/// # Errors
///
/// All that the linters found, each with its place; a linter that didn't find a planted fault; one that can't be installed
/// or run.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let linters = Linters::installed(root)?;
    let scratch = tempfile::tempdir().context("making a temporary folder")?;
    let planted = Planted::write(scratch.path())?;
    let mut jobs = Vec::new();
    for linter in Linter::ALL {
        let mut documents: Vec<PathBuf> = DOCUMENTS.iter().map(|path| root.join(path)).collect();
        documents.extend(planted.documents(linter));
        jobs.push((linter, documents));
    }
    let found = thread::scope(|scope| {
        let linters = &linters;
        let running: Vec<_> = jobs
            .iter()
            .map(|(linter, documents)| scope.spawn(move || linters.findings(*linter, documents)))
            .collect();
        let mut found = Vec::new();
        for job in running {
            match job.join() {
                Ok(findings) => found.extend(findings?),
                Err(_) => bail!("a linter's thread panicked"),
            }
        }
        Ok(found)
    })?;
    let (found, planted_found): (Vec<Finding>, Vec<Finding>) = found
        .into_iter()
        .partition(|finding| !planted.holds(&finding.document));
    planted.compare(&planted_found)?;

    let messages = messages(root, &found)?;
    if messages.is_empty() {
        eprintln!(
            "{} linters find nothing in {}, and each fault that was planted elsewhere",
            Linter::ALL.len(),
            DOCUMENTS.join(" and ")
        );
        return Ok(());
    }
    bail!(
        "{}\n{} finding{}; spec/lint/ has the linters' settings",
        messages.join("\n"),
        messages.len(),
        if messages.len() == 1 { "" } else { "s" }
    )
}

/// The findings as text, without those that are wrong.
fn messages(root: &Path, found: &[Finding]) -> anyhow::Result<Vec<String>> {
    let mut messages = Vec::new();
    let mut needed = [false; WRONG.len()];
    for finding in found {
        let wrong = WRONG.iter().position(|(linter, document, start)| {
            finding.linter == *linter
                && finding.document == root.join(document)
                && finding.message.starts_with(start)
        });
        match wrong {
            Some(index) => needed[index] = true,
            None => messages.push(finding.text(root)),
        }
    }
    for ((linter, document, start), needed) in WRONG.iter().zip(needed) {
        ensure!(
            needed,
            "{document}: {linter:?} doesn't say `{start}` any more; remove the exception from xtask/src/lint/mod.rs"
        );
    }
    messages.sort();
    messages.dedup();
    Ok(messages)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Linter {
    Spectral,
    Redocly,
    Validator,
    Generator,
}

impl Linter {
    const ALL: [Linter; 4] = [
        Linter::Spectral,
        Linter::Redocly,
        Linter::Validator,
        Linter::Generator,
    ];

    /// Whether a run takes one document only, and so time for each.
    fn takes_one(self) -> bool {
        matches!(self, Linter::Validator | Linter::Generator)
    }
}

/// Something that a linter says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    linter: Linter,
    /// The file, absolute.
    document: PathBuf,
    /// The line, where the linter tells it; lines count from 1.
    line: Option<u64>,
    /// The rule's name; empty where rules have none.
    rule: String,
    message: String,
}

impl Finding {
    fn text(&self, root: &Path) -> String {
        let document = self.document.strip_prefix(root).unwrap_or(&self.document);
        let line = self.line.map(|line| format!(":{line}")).unwrap_or_default();
        let rule = match self.rule.as_str() {
            "" => String::new(),
            rule => format!(" ({rule})"),
        };
        format!(
            "{}{line}: {:?}{rule}: {}",
            document.display(),
            self.linter,
            self.message.trim()
        )
    }
}

/// The linters, installed.
struct Linters {
    settings: PathBuf,
    node_modules: PathBuf,
    python: PathBuf,
}

impl Linters {
    fn installed(root: &Path) -> anyhow::Result<Linters> {
        let settings = root.join("spec/lint");
        let java = Command::new("java").arg("-version").output();
        ensure!(
            java.is_ok_and(|output| output.status.success()),
            "openapi-generator takes Java 11 or newer, and `java -version` fails (on Debian: apt-get install \
             default-jre-headless)"
        );
        Ok(Linters {
            node_modules: tools::node(root, "lint-node", &settings)?,
            python: tools::python(root, "lint-python", &settings.join("requirements.txt"))?,
            settings,
        })
    }

    /// What a linter says about each of these documents.
    fn findings(&self, linter: Linter, documents: &[PathBuf]) -> anyhow::Result<Vec<Finding>> {
        let found = if linter.takes_one() {
            let mut found = Vec::new();
            for document in documents {
                found.extend(match linter {
                    Linter::Validator => self.validator(document)?,
                    _ => self.generator(document)?,
                });
            }
            Ok(found)
        } else if linter == Linter::Spectral {
            self.spectral(documents)
        } else {
            self.redocly(documents)
        };
        found.with_context(|| format!("running {linter:?}"))
    }

    fn spectral(&self, documents: &[PathBuf]) -> anyhow::Result<Vec<Finding>> {
        #[derive(Deserialize)]
        struct Said {
            code: String,
            path: Vec<Value>,
            message: String,
            range: Range,
            source: PathBuf,
        }
        #[derive(Deserialize)]
        struct Range {
            start: Start,
        }
        #[derive(Deserialize)]
        struct Start {
            line: u64,
        }
        let output = self
            .node("@stoplight/spectral-cli/dist/index.js")
            .args(["lint", "--quiet", "--format", "json"])
            .args(["--fail-severity", "hint", "--ruleset"])
            .arg(self.settings.join("spectral.yaml"))
            .args(documents)
            .output()?;
        let said: Vec<Said> =
            serde_json::from_slice(&output.stdout).with_context(|| told(&output))?;
        ensure!(output.status.success() == said.is_empty(), told(&output));
        let found = said.into_iter().map(|said| {
            let path: Vec<String> = said.path.iter().map(word).collect();
            Finding {
                linter: Linter::Spectral,
                document: said.source,
                line: Some(said.range.start.line + 1),
                rule: said.code,
                message: format!("{} (at {})", said.message, path.join(".")),
            }
        });
        Ok(found.collect())
    }

    fn redocly(&self, documents: &[PathBuf]) -> anyhow::Result<Vec<Finding>> {
        #[derive(Deserialize)]
        struct Report {
            problems: Vec<Problem>,
        }
        #[derive(Deserialize)]
        struct Problem {
            #[serde(rename = "ruleId")]
            rule: String,
            message: String,
            location: Vec<Location>,
        }
        #[derive(Deserialize)]
        struct Location {
            source: Source,
            pointer: Option<String>,
            start: Option<Start>,
        }
        #[derive(Deserialize)]
        struct Source {
            #[serde(rename = "ref")]
            path: PathBuf,
        }
        #[derive(Deserialize)]
        struct Start {
            line: u64,
        }
        let output = self
            .node("@redocly/cli/bin/cli.js")
            // It tells paths relative to the folder where it runs.
            .current_dir("/")
            .args(["lint", "--format", "json", "--max-problems", "10000"])
            .arg("--config")
            .arg(self.settings.join("redocly.yaml"))
            .args(documents)
            .env("REDOCLY_TELEMETRY", "off")
            .env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true")
            .output()?;
        // A report for each document, one after the other.
        let reports = serde_json::Deserializer::from_slice(&output.stdout)
            .into_iter::<Report>()
            .collect::<Result<Vec<Report>, _>>()
            .with_context(|| told(&output))?;
        ensure!(reports.len() == documents.len(), told(&output));
        let mut found = Vec::new();
        for problem in reports.into_iter().flat_map(|report| report.problems) {
            let place = problem.location.first().context("a problem has a place")?;
            found.push(Finding {
                linter: Linter::Redocly,
                document: Path::new("/").join(&place.source.path),
                line: place.start.as_ref().map(|start| start.line),
                rule: problem.rule,
                message: format!(
                    "{} (at {})",
                    problem.message,
                    place.pointer.as_deref().unwrap_or("the document")
                ),
            });
        }
        ensure!(output.status.success() == found.is_empty(), told(&output));
        Ok(found)
    }

    fn validator(&self, document: &Path) -> anyhow::Result<Vec<Finding>> {
        let output = Command::new(self.python.join("openapi-spec-validator"))
            .args(["--validation-errors", "all"])
            .arg(document)
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        let said = said.trim();
        let fine = said == format!("{}: OK", document.display());
        ensure!(
            output.status.success() == fine && !said.is_empty(),
            told(&output)
        );
        let found = (!fine).then(|| Finding {
            linter: Linter::Validator,
            document: document.to_owned(),
            line: None,
            rule: String::new(),
            // Behind that it repeats the document, or most of it.
            message: said.chars().take(400).collect(),
        });
        Ok(found.into_iter().collect())
    }

    fn generator(&self, document: &Path) -> anyhow::Result<Vec<Finding>> {
        let output = Command::new(self.python.join("openapi-generator-cli"))
            .args(["validate", "--recommend", "--input-spec"])
            .arg(document)
            .output()?;
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        let messages = bullets(&said);
        // It ends with success in spite of warnings.
        let fine = said.contains("No validation issues detected.");
        ensure!(fine == messages.is_empty(), told(&output));
        ensure!(output.status.success() || !fine, told(&output));
        let found = messages.into_iter().map(|message| Finding {
            linter: Linter::Generator,
            document: document.to_owned(),
            line: None,
            rule: String::new(),
            message,
        });
        Ok(found.collect())
    }

    fn node(&self, script: &str) -> Command {
        let mut command = Command::new("node");
        command.arg(self.node_modules.join(script));
        command
    }
}

/// The items of openapi-generator's lists of errors and warnings, each in one line.
fn bullets(said: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut open = false;
    for line in said.lines() {
        if let Some(item) = line.strip_prefix("\t- ") {
            items.push(item.trim().to_owned());
            open = true;
        } else if let (true, Some(more), Some(item)) =
            (open, line.strip_prefix("\t  "), items.last_mut())
        {
            item.push(' ');
            item.push_str(more.trim());
        } else {
            open = false;
        }
    }
    items
}

/// A step of a path, without the quotes of text.
fn word(step: &Value) -> String {
    step.as_str()
        .map_or_else(|| step.to_string(), str::to_owned)
}

/// What a linter wrote, where it didn't do what it should.
fn told(output: &Output) -> String {
    format!(
        "it ended with {} and wrote:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generators_lists_are_read() {
        let said = "Validating spec (a.yaml)\nErrors:\n\t- attribute a is missing\nWarnings: \n\t- GET with a body\n\t  \
                    is odd.\n\n[error] Spec has 1 errors.\n";
        assert_eq!(
            bullets(said),
            ["attribute a is missing", "GET with a body is odd."]
        );
        assert_eq!(bullets("No validation issues detected.\n"), [""; 0]);
    }

    #[test]
    fn an_exception_covers_one_linters_message_about_one_document_and_has_to_be_needed() {
        let root = Path::new("/w");
        let unused = |linter, document: &str| Finding {
            linter,
            document: root.join(document),
            line: None,
            rule: String::new(),
            message: "Unused model: A".to_owned(),
        };
        let excepted = unused(Linter::Generator, "spec/local.yaml");
        let other_linter = unused(Linter::Validator, "spec/local.yaml");
        let other_document = unused(Linter::Generator, "spec/layer-payments.yaml");
        let messages_of = |found: &[Finding]| messages(root, found);
        assert_eq!(
            messages_of(std::slice::from_ref(&excepted)).unwrap(),
            [""; 0]
        );
        assert_eq!(
            messages_of(&[other_document.clone(), excepted, other_linter.clone()]).unwrap(),
            [
                "spec/layer-payments.yaml: Generator: Unused model: A",
                "spec/local.yaml: Validator: Unused model: A"
            ]
        );
        messages_of(&[other_document, other_linter]).expect_err("an exception that nothing needs");
    }
}
