//! The newest entry of a changelog.

use anyhow::{Context, bail, ensure};

/// The headings of an entry, by Keep a Changelog.
const KINDS: [&str; 6] = [
    "Added",
    "Changed",
    "Deprecated",
    "Removed",
    "Fixed",
    "Security",
];

/// Checks that the newest entry is that of a version, has a date, and says something.
///
/// # Errors
///
/// What is wrong with it, with what to do.
pub(crate) fn check(changelog: &str, version: &str) -> anyhow::Result<()> {
    let form = format!("`## [{version}] - YYYY-MM-DD`");
    let mut lines = changelog
        .lines()
        .skip_while(|line| !line.starts_with("## "));
    let heading = lines
        .next()
        .with_context(|| format!("there is no entry; write one under {form}"))?;
    let entry = heading
        .strip_prefix("## [")
        .and_then(|rest| rest.split_once("] - "));
    let Some((newest, date)) = entry else {
        bail!(
            "the newest entry is `{heading}`; before anything is published it has to be {form}, and `info.version` of \
             the spec has to say the same version"
        );
    };
    ensure!(
        newest == version,
        "the newest entry is for {newest}, and `info.version` of the spec is {version}: write an entry under {form}, or \
         correct `info.version` in both documents"
    );
    ensure!(
        date.parse::<jiff::civil::Date>()
            .is_ok_and(|parsed| parsed.to_string() == date),
        "the date of the newest entry is `{date}`, which isn't one; write {form}"
    );
    let mut items = 0;
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        if let Some(kind) = line.strip_prefix("### ") {
            ensure!(
                KINDS.contains(&kind),
                "the newest entry has the heading `{kind}`; the headings are {}",
                KINDS.join(", ")
            );
        }
        items += usize::from(line.starts_with("- "));
    }
    ensure!(
        items > 0,
        "the entry of {newest} is empty; say what changed for those who build on the spec"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        "# Changelog\n\n## [1.2.0] - 2026-03-01\n\n### Fixed\n\n- It.\n\n## [1.1.0] - 2026-01-01\n";

    fn refusal(changelog: &str) -> String {
        check(changelog, "1.2.0").unwrap_err().to_string()
    }

    #[test]
    fn an_entry_for_the_version_passes() {
        check(GOOD, "1.2.0").unwrap();
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        for (from, to, says) in [
            (
                "1.2.0",
                "1.3.0",
                "write an entry under `## [1.2.0] - YYYY-MM-DD`",
            ),
            (
                "## [1.2.0] - 2026-03-01",
                "## Unreleased",
                "has to be `## [1.2.0]",
            ),
            ("2026-03-01", "2026-02-30", "`2026-02-30`, which isn't one"),
            ("2026-03-01", "20260301", "`20260301`, which isn't one"),
            ("### Fixed", "### Fixes", "the heading `Fixes`"),
            ("- It.", "", "is empty"),
        ] {
            let broken = GOOD.replace(from, to);
            assert_ne!(broken, GOOD);
            let refusal = refusal(&broken);
            assert!(refusal.contains(says), "{refusal}");
        }
        assert!(refusal("# Changelog\n").contains("there is no entry"));
    }
}
