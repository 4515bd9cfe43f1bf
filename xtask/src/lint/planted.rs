//! Documents with one fault each, which the linters have to find.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{Finding, Linter};
use Linter::{Generator, Redocly, Spectral, Validator};

/// A document in which no linter finds a fault.
const CLEAN: &str = include_str!("planted.yaml");

/// A fault and who has to find it.
struct Fault {
    /// What is wrong, as a file's name.
    name: &'static str,
    /// The text to change, which the document has once.
    from: &'static str,
    to: &'static str,
    /// The linters that find it, each with its rule, or with a part of its message where rules have no names.
    found_by: &'static [(Linter, &'static str)],
}

const FAULTS: [Fault; 20] = [
    Fault {
        name: "no-operation-id",
        from: "      operationId: get_parcel\n",
        to: "",
        found_by: &[
            (Spectral, "operation-operationId"),
            (Redocly, "operation-operationId"),
        ],
    },
    Fault {
        name: "no-summary",
        from: "      summary: Get a parcel\n",
        to: "",
        found_by: &[(Redocly, "operation-summary")],
    },
    Fault {
        name: "no-description",
        from: "      description: Gives one parcel.\n",
        to: "",
        found_by: &[(Spectral, "operation-description")],
    },
    Fault {
        name: "no-client-error",
        from: "        \"404\":\n          description: There is no such parcel.\n",
        to: "",
        found_by: &[(Redocly, "operation-4xx-response")],
    },
    Fault {
        name: "dangling-reference",
        from: "        - $ref: \"#/components/schemas/Box\"\n",
        to: "        - $ref: \"#/components/schemas/Bax\"\n",
        found_by: &[
            (Spectral, "invalid-ref"),
            (Redocly, "no-unresolved-refs"),
            (Validator, "Bax"),
        ],
    },
    Fault {
        name: "unused-component",
        from: "    Letter:\n",
        to: "    Unused:\n      type: string\n      description: Nothing.\n    Letter:\n",
        found_by: &[
            (Spectral, "oas3-unused-component"),
            (Redocly, "no-unused-components"),
            (Generator, "Unused model: Unused"),
        ],
    },
    Fault {
        name: "wrong-example",
        from: "        weight: 250",
        to: "        weight: heavy",
        found_by: &[
            (Spectral, "oas3-valid-media-example"),
            (Redocly, "no-invalid-media-type-examples"),
        ],
    },
    Fault {
        name: "wrong-default",
        from: "            default: false",
        to: "            default: maybe",
        found_by: &[
            (Spectral, "oas3-valid-schema-example"),
            (Validator, "maybe"),
        ],
    },
    Fault {
        name: "wrong-example-of-a-property",
        from: "          description: The weight in grams.\n",
        to: "          description: The weight in grams.\n          example: heavy\n",
        found_by: &[
            (Spectral, "oas3-valid-schema-example"),
            (Redocly, "no-invalid-schema-examples"),
        ],
    },
    Fault {
        name: "undeclared-tag",
        from: "      tags: [Parcels]",
        to: "      tags: [Parcel]",
        found_by: &[(Spectral, "operation-tag-defined")],
    },
    Fault {
        name: "wrong-mapping",
        from: "          letter: \"#/components/schemas/Letter\"",
        to: "          letter: \"#/components/schemas/Leter\"",
        found_by: &[(Redocly, "no-unresolved-refs")],
    },
    Fault {
        name: "undeclared-path-parameter",
        from: "        - name: parcelId",
        to: "        - name: parcelID",
        found_by: &[
            (Spectral, "path-params"),
            (Redocly, "path-parameters-defined"),
            (Validator, "parcelId"),
        ],
    },
    Fault {
        name: "parameter-twice",
        from: "        - name: wait\n          in: query",
        to: "        - name: parcelId\n          in: path\n          required: true",
        found_by: &[
            (Spectral, "operation-parameters"),
            (Redocly, "operation-parameters-unique"),
            (Validator, "parcelId"),
        ],
    },
    Fault {
        name: "nullable-without-type",
        from: "          type: string\n          nullable: true",
        to: "          nullable: true",
        found_by: &[(Redocly, "nullable-type-sibling")],
    },
    Fault {
        name: "list-of-types",
        from: "          type: string\n          nullable: true",
        to: "          type: [string, \"null\"]",
        found_by: &[
            (Spectral, "oas3-schema"),
            (Redocly, "struct"),
            (Validator, "null"),
        ],
    },
    Fault {
        name: "wrong-type-of-enumeration",
        from: "          type: string\n          enum: [letter]",
        to: "          type: integer\n          enum: [letter]",
        found_by: &[(Spectral, "typed-enum"), (Redocly, "no-enum-type-mismatch")],
    },
    Fault {
        name: "unknown-required-property",
        from: "      required: [kind, weight]",
        to: "      required: [kind, wait]",
        found_by: &[(Redocly, "no-required-schema-properties-undefined")],
    },
    Fault {
        name: "undeclared-security-scheme",
        from: "  - bearerAuth: []",
        to: "  - basicAuth: []",
        found_by: &[
            (Spectral, "oas3-operation-security-defined"),
            (Redocly, "security-defined"),
        ],
    },
    Fault {
        name: "misspelt-key",
        from: "          description: The parcel.\n          content:",
        to: "          desciption: The parcel.\n          content:",
        found_by: &[
            (Spectral, "oas3-schema"),
            (Redocly, "struct"),
            (Validator, "desciption"),
            (Generator, "desciption is unexpected"),
        ],
    },
    Fault {
        name: "body-of-a-get",
        from: "      responses:\n",
        to: "      requestBody:\n        description: Nothing.\n        content:\n          application/json:\n            \
             schema:\n              $ref: \"#/components/schemas/Parcel\"\n      responses:\n",
        found_by: &[(Generator, "GET/HEAD with request body")],
    },
];

/// The documents, written.
pub(super) struct Planted {
    folder: PathBuf,
}

impl Planted {
    pub(super) fn write(folder: &Path) -> anyhow::Result<Planted> {
        // Linters tell where they found something by its real path.
        let folder = fs::canonicalize(folder)?;
        let planted = Planted { folder };
        fs::write(planted.path("clean"), CLEAN)?;
        for fault in &FAULTS {
            let count = CLEAN.matches(fault.from).count();
            ensure!(
                count == 1,
                "{}: what it changes stands {count} times in planted.yaml",
                fault.name
            );
            fs::write(
                planted.path(fault.name),
                CLEAN.replacen(fault.from, fault.to, 1),
            )
            .with_context(|| format!("writing {}", fault.name))?;
        }
        Ok(planted)
    }

    /// Those that a linter gets: the clean one, and those with a fault that it finds. What it misses is no use here.
    pub(super) fn documents(&self, linter: Linter) -> Vec<PathBuf> {
        let faults = FAULTS
            .iter()
            .filter(|fault| fault.found_by.iter().any(|(finder, _)| *finder == linter))
            .map(|fault| fault.name);
        ["clean"]
            .into_iter()
            .chain(faults)
            .map(|name| self.path(name))
            .collect()
    }

    /// Whether a document is one of these.
    pub(super) fn holds(&self, document: &Path) -> bool {
        document.starts_with(&self.folder)
    }

    /// Checks that each linter found what it has to, and nothing in the clean document.
    pub(super) fn compare(&self, found: &[Finding]) -> anyhow::Result<()> {
        for linter in Linter::ALL {
            let clean = self.path("clean");
            let said = of(found, linter, &clean);
            ensure!(
                said.is_empty(),
                "{linter:?} finds something in a document without faults, xtask/src/lint/planted.yaml: {said:?}"
            );
        }
        for fault in &FAULTS {
            for (linter, sign) in fault.found_by {
                let said = of(found, *linter, &self.path(fault.name));
                let there = said.iter().any(|finding| match finding.rule.as_str() {
                    "" => finding.message.contains(sign),
                    rule => rule == *sign,
                });
                ensure!(
                    there,
                    "{linter:?} doesn't find a planted fault, {}, by `{sign}`, so it proves nothing about the documents; \
                     it found {said:?}",
                    fault.name
                );
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("yaml")
    }
}

fn of<'f>(found: &'f [Finding], linter: Linter, document: &Path) -> Vec<&'f Finding> {
    found
        .iter()
        .filter(|finding| finding.linter == linter && finding.document == document)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_found(planted: &Planted) -> Vec<Finding> {
        let mut found = Vec::new();
        for fault in &FAULTS {
            for (linter, sign) in fault.found_by {
                let named = !linter.takes_one();
                found.push(Finding {
                    linter: *linter,
                    document: planted.path(fault.name),
                    line: None,
                    rule: if named { *sign } else { "" }.to_owned(),
                    message: (*sign).to_owned(),
                });
            }
        }
        found
    }

    #[test]
    fn each_fault_that_a_linter_misses_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let planted = Planted::write(scratch.path()).unwrap();
        let found = all_found(&planted);
        planted.compare(&found).unwrap();
        for missing in 0..found.len() {
            let mut fewer = found.clone();
            let missed = fewer.remove(missing);
            let error = planted.compare(&fewer).unwrap_err().to_string();
            let name = missed.document.file_stem().unwrap().to_str().unwrap();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn a_linter_that_finds_fault_with_everything_is_told() {
        let scratch = tempfile::tempdir().unwrap();
        let planted = Planted::write(scratch.path()).unwrap();
        let mut found = all_found(&planted);
        found.push(Finding {
            document: planted.path("clean"),
            ..found[0].clone()
        });
        planted.compare(&found).unwrap_err();
    }
}
