//! The pages of reference in a browser, opened as files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::browser::Browser;
use crate::{dist, pictures};

/// The screens: a name, their width and height, whether it is a phone.
const SCREENS: [(&str, u32, u32, bool); 2] =
    [("desk", 1280, 900, false), ("phone", 390, 844, true)];

/// The pages with the documents that they are made from.
const PAGES: [(&str, &str); 2] = [("index", "layer-payments"), ("local", "local")];

/// Opens everything that can be opened, and tells what there is and what is too wide.
///
/// Blocks of code may be scrolled sideways, nothing else.
const LOOK: &str = r#"(() => {
    document.querySelectorAll("details").forEach(it => { it.open = true; });
    document.querySelectorAll("input[type=checkbox]").forEach(it => { it.checked = true; });
    const name = it => it.tagName + (it.id && `#${it.id}`) + " " + it.textContent.slice(0, 60);
    const width = document.documentElement.clientWidth;
    const wide = [];
    for (const it of document.querySelectorAll("body *")) {
        if (it.closest("pre") && it.tagName !== "PRE") continue;
        if (it.getBoundingClientRect().right > width + 1) wide.push(name(it));
        const cut = it.tagName !== "PRE" && getComputedStyle(it).overflowX !== "visible";
        if (cut && it.scrollWidth > it.clientWidth + 1) wide.push("cut: " + name(it));
    }
    const all = (selector, of) => [...document.querySelectorAll(selector)].map(of);
    return {
        width,
        scroll: document.documentElement.scrollWidth,
        wide,
        ids: all("[id]", it => it.id),
        links: all("a", it => it.getAttribute("href")),
        scripts: document.scripts.length,
        handlers: all("*", it => it.getAttributeNames()).flat().filter(it => it.startsWith("on")),
        unlabelled: all("a", it => it.textContent.trim()).filter(it => it === "").length,
        smallest: Math.min(...all("main p, main dd, main dt, main pre, nav a", it =>
            parseFloat(getComputedStyle(it).fontSize))),
    };
})()"#;

/// What is wrong with a page that was opened just now.
fn faults(browser: &mut Browser, width: u32) -> (Value, Vec<String>) {
    let seen = browser.evaluate(LOOK);
    let mut faults = Vec::new();
    if seen["width"] != width || seen["scroll"] != width {
        faults.push(format!("{} wide, not {width}", seen["scroll"]));
    }
    for (what, key) in [("too wide", "wide"), ("a handler", "handlers")] {
        for one in list(&seen[key]) {
            faults.push(format!("{what}: {one}"));
        }
    }
    if seen["scripts"] != 0 {
        faults.push(format!("{} scripts", seen["scripts"]));
    }
    if seen["unlabelled"] != 0 {
        faults.push(format!("{} links without a text", seen["unlabelled"]));
    }
    if seen["smallest"].as_f64().is_none_or(|size| size < 12.0) {
        faults.push(format!("text of {} pixels", seen["smallest"]));
    }
    if browser.requests.len() != 1 || !browser.requests[0].starts_with("file:///") {
        faults.push(format!("asked for {:?}", browser.requests));
    }
    (seen, faults)
}

fn list(value: &Value) -> Vec<&str> {
    let items = value.as_array().expect("it is a list");
    items.iter().filter_map(Value::as_str).collect()
}

#[test]
fn the_pages_fit_the_screen_need_nothing_and_their_links_lead_somewhere() {
    let mut browser = Browser::start();
    let mut ids = BTreeMap::new();
    let mut links = BTreeSet::new();
    for (page, document) in PAGES {
        let file = dist().join(format!("reference/{page}.html"));
        for (screen, width, height, phone) in SCREENS {
            browser.open(&file, width, height, phone);
            picture(&mut browser, &format!("{page}-{screen}-top"));
            let (seen, faults) = faults(&mut browser, width);
            assert!(faults.is_empty(), "{page} at a {screen}: {faults:#?}");
            let found = list(&seen["ids"]);
            let unique = found
                .iter()
                .map(|&id| id.to_owned())
                .collect::<BTreeSet<_>>();
            assert_eq!(found.len(), unique.len(), "an id stands there twice");
            for link in list(&seen["links"]) {
                let link = match link.strip_prefix('#') {
                    Some(id) => format!("{page}.html#{id}"),
                    None => link.to_owned(),
                };
                links.insert(link);
            }
            all_is_there(document, &unique);
            ids.insert(format!("{page}.html"), unique);
            navigation(&mut browser, phone, ":not([href^='#schema'], [href^='#t'])");
            picture(&mut browser, &format!("{page}-{screen}-operation"));
            navigation(&mut browser, phone, "[href^='#schema-']");
            picture(&mut browser, &format!("{page}-{screen}-schema"));
        }
    }
    assert!(links.len() > 100, "only {} links", links.len());
    for link in links {
        if link == "https://opensource.org/license/mit" {
            continue;
        }
        let (file, id) = link.split_once('#').unwrap_or((&link, ""));
        let path = dist().join("reference").join(file);
        assert!(path.is_file(), "{link}");
        assert!(id.is_empty() || ids[file].contains(id), "{link}");
    }
}

/// Each operation and schema of a document has its place on the page.
fn all_is_there(document: &str, ids: &BTreeSet<String>) {
    let spec = crate::json(&format!("openapi/{document}.json"));
    let mut wanted = Vec::new();
    for operations in spec["paths"]
        .as_object()
        .into_iter()
        .flat_map(|it| it.values())
    {
        for operation in operations
            .as_object()
            .into_iter()
            .flat_map(|it| it.values())
        {
            wanted.extend(operation["operationId"].as_str().map(str::to_owned));
        }
    }
    assert!(wanted.len() >= 4, "{wanted:?}");
    let schemas = spec["components"]["schemas"].as_object();
    wanted.extend(
        schemas
            .into_iter()
            .flatten()
            .map(|(name, _)| format!("schema-{name}")),
    );
    for id in wanted {
        assert!(
            ids.contains(&id),
            "{document} has {id}, and the page hasn't"
        );
    }
}

/// The contents are at hand, and a link from the midst of some of them leads to what is then on the screen.
fn navigation(browser: &mut Browser, phone: bool, which: &str) {
    let script = r#"(async () => {
            const menu = document.getElementById("menu");
            const nav = document.querySelector("nav");
            const shown = it => it.getBoundingClientRect().height > 0;
            menu.checked = false;
            const folded = shown(nav);
            const label = document.querySelector("label[for=menu]");
            const button = shown(label);
            if (button) label.click();
            const open = shown(nav);
            const links = [...nav.querySelectorAll("a[href^='#']WHICH")];
            const link = links[Math.floor(links.length / 2)];
            link.click();
            await new Promise(done => setTimeout(done, 100));
            const target = document.querySelector(link.getAttribute("href"));
            const top = target.getBoundingClientRect().top;
            const bar = button ? label.getBoundingClientRect().bottom : 0;
            return { folded, button, open, seen: top >= bar && top < innerHeight / 2 };
        })()"#;
    let seen = browser.evaluate(&script.replace("WHICH", which));
    let wanted =
        serde_json::json!({ "folded": !phone, "button": phone, "open": true, "seen": true });
    assert_eq!(seen, wanted);
}

fn picture(browser: &mut Browser, name: &str) {
    let picture = browser.picture();
    fs::write(pictures().join(format!("{name}.png")), picture).expect("the folder is writable");
}

#[test]
fn what_is_wrong_with_a_page_is_noticed() {
    let scratch = tempfile::tempdir().expect("a temporary folder can be made");
    let mut browser = Browser::start();
    let mut found = |body: &str| {
        let file = scratch.path().join("page.html");
        write_page(&file, body);
        browser.open(&file, 390, 844, true);
        faults(&mut browser, 390).1
    };
    assert_eq!(found("<pre>a</pre>"), [""; 0]);
    for (body, says) in [
        ("<div style='width: 500px'>a</div>", "too wide: DIV a"),
        (
            "<div style='overflow: hidden'><div style='width: 600px'>a</div></div>",
            "cut: DIV",
        ),
        ("<script>1</script>", "1 scripts"),
        ("<p onclick='1'>a</p>", "a handler: onclick"),
        ("<a href='#'> </a>", "1 links without a text"),
        ("<p style='font-size: 9px'>a</p>", "text of 9 pixels"),
        (
            "<img src='http://127.0.0.1:9/a.png'>",
            "http://127.0.0.1:9/a.png",
        ),
        (
            "<style>@import 'https://fonts.invalid/a.css';</style>",
            "https://fonts.invalid/a.css",
        ),
    ] {
        let faults = found(body);
        assert!(
            faults.iter().any(|fault| fault.contains(says)),
            "{body}: {faults:?}"
        );
    }
}

fn write_page(file: &Path, body: &str) {
    let page = format!(
        "<!doctype html><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <body style='margin: 0'><main><p>a</p>{body}</main></body>"
    );
    fs::write(file, page).expect("the folder is writable");
}
