//! Tests of the comparison: known changes one at a time, every value of the real document changed once, and work trees
//! in which something is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::change::Effect;
use super::rest::{contains, reached};
use super::*;
use crate::codegen::mistake::child_pointer;
use crate::codegen::yaml::{self, Kind};

const LOANS: &str = include_str!("fixture.yaml");

fn document(text: &str) -> Document {
    Document::parse(&PARTS[0], "f.yaml", text.as_bytes()).unwrap()
}

/// [`LOANS`] with some parts replaced, each of which stands in it once.
fn edited(edits: &[(&str, &str)]) -> String {
    let mut text = LOANS.to_owned();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "expected once: {from}");
        text = text.replacen(from, to, 1);
    }
    text
}

/// The changes as `name/side`, sorted.
fn told(old: &str, new: &str) -> Vec<String> {
    let comparison = compare(document(old), document(new));
    let mut all: Vec<String> = comparison.found.iter().map(tell).collect();
    all.sort();
    all
}

fn tell(found: &Found) -> String {
    let side = match found.side {
        Side::Request => "/request",
        Side::Reply => "/reply",
        Side::Elsewhere => "",
    };
    format!("{}{side}", found.change.id())
}

/// A change under its name, the edits that make it, what is found, and what is found when it is undone.
type Case = (
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
    &'static [&'static str],
);

const CASES: &[Case] = &[
    // Operations.
    (
        &[(
            "      operationId: lend\n",
            "      operationId: lend_book\n",
        )],
        &["operation-renamed"],
        &["operation-renamed"],
    ),
    (
        &[(
            "  /loans/{loanId}:\n",
            "  /loans:\n    get:\n      operationId: all\n      responses:\n        '204': {description: None.}\n  /loans/{loanId}:\n",
        )],
        &["operation-added"],
        &["operation-removed"],
    ),
    (
        &[("  /loans/{loanId}:\n", "  /loan/{loanId}:\n")],
        &["operation-moved"],
        &["operation-moved"],
    ),
    (
        &[("    delete:\n", "    put:\n")],
        &["operation-moved"],
        &["operation-moved"],
    ),
    (
        &[("    delete:\n", "    delete:\n      deprecated: true\n")],
        &["deprecated"],
        &["no-longer-deprecated"],
    ),
    (
        &[(
            "      summary: List loans\n      tags: [Loans]\n",
            "      summary: List loans\n",
        )],
        &["tags-changed"],
        &["tags-changed"],
    ),
    // Security.
    (
        &[("  - token: []\n", "  - token: []\n  - key: []\n")],
        &["security-alternative-added"],
        &["security-alternative-removed"],
    ),
    (
        &[("  - token: []\n", "  - token: []\n  - {}\n")],
        &["security-alternative-added"],
        &["security-alternative-removed"],
    ),
    (
        &[("  - token: []\n", "  - key: []\n    token: []\n")],
        &["security-alternative-added", "security-alternative-removed"],
        &["security-alternative-added", "security-alternative-removed"],
    ),
    (
        &[("security:\n  - token: []\n", "security: []\n")],
        &["security-alternative-added", "security-alternative-removed"],
        &["security-alternative-added", "security-alternative-removed"],
    ),
    (
        &[(
            "      operationId: lend\n",
            "      operationId: lend\n      security: []\n",
        )],
        &["security-alternative-added", "security-alternative-removed"],
        &["security-alternative-added", "security-alternative-removed"],
    ),
    (
        &[("scheme: bearer", "scheme: basic")],
        &["security-scheme-changed"],
        &["security-scheme-changed"],
    ),
    // Servers.
    (
        &[("security:\n", "  - url: https://more.example\nsecurity:\n")],
        &["server-added"],
        &["server-removed"],
    ),
    (
        &[("servers:\n", "servers:\n  - url: https://more.example\n")],
        &["first-server-changed", "server-added"],
        &["first-server-changed", "server-removed"],
    ),
    (
        &[("{default: live}", "{default: prod}")],
        &["server-variable-changed"],
        &["server-variable-changed"],
    ),
    // Parameters.
    (
        &[(
            "        - name: X-Trace\n",
            "        - name: page\n          in: query\n          schema: {type: string}\n        - name: X-Trace\n",
        )],
        &["optional-parameter-inserted/request"],
        &["parameter-removed/request"],
    ),
    (
        &[(
            "pattern: '^[a-f]+$'}\n",
            "pattern: '^[a-f]+$'}\n        - name: page\n          in: query\n          schema: {type: string}\n",
        )],
        &["optional-parameter-added/request"],
        &["parameter-removed/request"],
    ),
    (
        // What else changes in the list is told, too.
        &[
            (
                "        - name: limit\n          in: query\n          required: true\n          schema: {type: integer, format: int32, minimum: 1, maximum: 50, default: 20, multipleOf: 2}\n        - name: X-Trace\n          in: header\n",
                "        - name: X-Trace\n          in: header\n",
            ),
            (
                "        - name: shelf\n",
                "        - name: limit\n          in: query\n          required: true\n          x-new: 1\n          schema: {type: integer, format: int32, minimum: 1, maximum: 50, default: 20, multipleOf: 2}\n        - name: shelf\n",
            ),
        ],
        &["parameters-reordered/request", "unjudged"],
        &["parameters-reordered/request", "unjudged"],
    ),
    (
        &[(
            "        - name: X-Trace\n",
            "        - name: page\n          in: query\n          required: true\n          schema: {type: string}\n        - name: X-Trace\n",
        )],
        &["required-parameter-added/request"],
        &["parameter-removed/request"],
    ),
    (
        &[("        - name: shelf\n", "        - name: shelves\n")],
        &[
            "optional-parameter-inserted/request",
            "parameter-removed/request",
        ],
        &[
            "optional-parameter-inserted/request",
            "parameter-removed/request",
        ],
    ),
    (
        &[(
            "        - name: shelf\n          in: query\n",
            "        - name: shelf\n          in: cookie\n",
        )],
        &["parameter-moved/request"],
        &["parameter-moved/request"],
    ),
    (
        &[(
            "        - name: shelf\n          in: query\n",
            "        - name: shelf\n          in: query\n          required: true\n",
        )],
        &["became-required/request"],
        &["became-optional/request"],
    ),
    (
        &[(
            "        - name: shelf\n          in: query\n",
            "        - name: shelf\n          in: query\n          allowEmptyValue: true\n",
        )],
        &["serialization-changed/request"],
        &["serialization-changed/request"],
    ),
    (
        &[("          explode: false\n", "          explode: true\n")],
        &["serialization-changed/request"],
        &["serialization-changed/request"],
    ),
    (
        &[(
            "          style: form\n",
            "          style: pipeDelimited\n",
        )],
        &["serialization-changed/request"],
        &["serialization-changed/request"],
    ),
    (
        &[
            (
                "  /readers/{readerId}/loans:\n",
                "  /readers/{reader}/loans:\n",
            ),
            ("      name: readerId\n", "      name: reader\n"),
        ],
        &["path-parameter-renamed/request"],
        &["path-parameter-renamed/request"],
    ),
    (
        &[("minimum: 1, maximum: 50", "minimum: 1, maximum: 60")],
        &["limit-widened/request"],
        &["limit-narrowed/request"],
    ),
    (
        &[("minimum: 1, maximum: 50", "minimum: 0, maximum: 50")],
        &["limit-widened/request"],
        &["limit-narrowed/request"],
    ),
    (
        &[("default: 20", "default: 30")],
        &["default-changed/request"],
        &["default-changed/request"],
    ),
    (
        &[("multipleOf: 2", "multipleOf: 4")],
        &["limit-narrowed/request"],
        &["limit-widened/request"],
    ),
    (
        &[("multipleOf: 2", "multipleOf: 3")],
        &["limit-replaced/request"],
        &["limit-replaced/request"],
    ),
    (
        &[("format: int32", "format: int64")],
        &["format-widened/request"],
        &["format-narrowed/request"],
    ),
    (
        &[("'^[a-f]+$'", "'^[a-g]+$'")],
        &["limit-replaced/request"],
        &["limit-replaced/request"],
    ),
    (
        &[(", pattern: '^[a-f]+$'", "")],
        &["limit-widened/request"],
        &["limit-narrowed/request"],
    ),
    (
        &[("maxItems: 9", "maxItems: 8")],
        &["limit-narrowed/request"],
        &["limit-widened/request"],
    ),
    (
        &[("maxItems: 9", "maxItems: 9, uniqueItems: true")],
        &["limit-narrowed/request"],
        &["limit-widened/request"],
    ),
    // Bodies.
    (
        &[(
            "        required: true\n        description: What to lend.\n",
            "        description: What to lend.\n",
        )],
        &["became-optional/request"],
        &["became-required/request"],
    ),
    (
        &[
            (
                "      requestBody:\n        content:\n          application/json:\n            schema: {$ref: '#/components/schemas/Ending'}\n",
                "",
            ),
            (
                "    Ending:\n      type: object\n      additionalProperties: false\n      minProperties: 1\n      properties:\n        fine: {type: number, nullable: true, x-null-keeps: true}\n",
                "",
            ),
        ],
        &["body-removed/request", "component-removed"],
        &["component-added", "optional-body-added/request"],
    ),
    (
        &[(
            "      summary: List loans\n",
            "      summary: List loans\n      requestBody:\n        required: true\n        content:\n          text/plain: {}\n",
        )],
        &["required-body-added/request"],
        &["body-removed/request"],
    ),
    (
        &[(
            "          application/xml:\n            schema: {type: string}\n",
            "",
        )],
        &["media-type-removed/request"],
        &["media-type-added/request"],
    ),
    (
        &[(
            "          application/xml:\n            schema: {type: string}\n",
            "          application/xml: {}\n",
        )],
        &["type-widened/request"],
        &["type-narrowed/request"],
    ),
    // Replies.
    (
        &[(
            "            text/plain:\n              schema: {type: string}\n",
            "",
        )],
        &["media-type-removed/reply"],
        &["media-type-added/reply"],
    ),
    (
        &[(
            "        '503': {$ref: '#/components/responses/Failure'}\n",
            "",
        )],
        &["failure-removed/reply"],
        &["failure-added/reply"],
    ),
    (
        &[(
            "        '204': {description: Ended.}\n",
            "        '204': {description: Ended.}\n        '202': {description: Soon.}\n",
        )],
        &["success-added/reply"],
        &["success-removed/reply"],
    ),
    (
        &[(
            "            X-Total: {schema: {type: integer, format: int64}}\n",
            "",
        )],
        &["header-removed/reply"],
        &["optional-header-added/reply"],
    ),
    (
        &[(
            "            X-Page: {required: true, schema: {type: string}}\n",
            "",
        )],
        &["header-removed/reply"],
        &["required-header-added/reply"],
    ),
    (
        &[("X-Page: {required: true, ", "X-Page: {")],
        &["became-optional/reply"],
        &["became-required/reply"],
    ),
    // Properties.
    (
        &[(
            "        quick: ",
            "        slow: {type: boolean}\n        quick: ",
        )],
        &["optional-property-added/request"],
        &["property-removed/request"],
    ),
    (
        &[
            (
                "        quick: ",
                "        slow: {type: boolean}\n        quick: ",
            ),
            ("[book, until]", "[book, until, slow]"),
        ],
        &["required-property-added/request"],
        &["property-removed/request"],
    ),
    (
        &[("[book, until]", "[book, until, note]")],
        &["became-required/request"],
        &["became-optional/request"],
    ),
    (
        &[(
            "        pages: ",
            "        weight: {type: number}\n        pages: ",
        )],
        &["optional-property-added/reply"],
        &["property-removed/reply"],
    ),
    (
        &[
            (
                "        pages: ",
                "        weight: {type: number}\n        pages: ",
            ),
            ("[id, since]", "[id, since, weight]"),
        ],
        &["required-property-added/reply"],
        &["property-removed/reply"],
    ),
    (
        &[("[id, since]", "[id, since, pages]")],
        &["became-required/reply"],
        &["became-optional/reply"],
    ),
    (
        &[(
            "        note: {type: string, nullable: true,",
            "        note: {type: string,",
        )],
        &["null-refused/request"],
        &["null-allowed/request"],
    ),
    (
        &[(
            "        next: {type: string, nullable: true}",
            "        next: {type: string}",
        )],
        &["null-refused/reply"],
        &["null-allowed/reply"],
    ),
    (
        &[("nullable: true, x-null-keeps: true", "nullable: true")],
        &["null-keeps-changed/request"],
        &["null-keeps-changed/request"],
    ),
    (
        &[("maxLength: 200", "maxLength: 100")],
        &["limit-narrowed/request"],
        &["limit-widened/request"],
    ),
    (
        &[("maxLength: 200, ", "")],
        &["limit-widened/request"],
        &["limit-narrowed/request"],
    ),
    (
        &[("minimum: 0, exclusiveMinimum: true", "minimum: 0")],
        &["limit-widened/request"],
        &["limit-narrowed/request"],
    ),
    (
        &[("minItems: 1", "minItems: 2")],
        &["limit-narrowed/request"],
        &["limit-widened/request"],
    ),
    (
        &[("      minProperties: 1\n", "")],
        &["limit-widened/request"],
        &["limit-narrowed/request"],
    ),
    (
        &[("minimum: 1, maximum: 9000", "minimum: 1, maximum: 9999")],
        &["limit-widened/reply"],
        &["limit-narrowed/reply"],
    ),
    (
        &[(
            "        deposit: {type: integer, format: int64, ",
            "        deposit: {type: number, ",
        )],
        &["format-widened/request", "type-widened/request"],
        &["format-narrowed/request", "type-narrowed/request"],
    ),
    (
        &[(
            "        deposit: {type: integer, format: int64, minimum: 0, exclusiveMinimum: true, example: 5}",
            "        deposit: {type: string, example: '5'}",
        )],
        &["documentation-changed", "type-replaced/request"],
        &["documentation-changed", "type-replaced/request"],
    ),
    (
        &[(
            "        pages: {type: integer, format: int64, ",
            "        pages: {type: number, ",
        )],
        &["format-widened/reply", "type-widened/reply"],
        &["format-narrowed/reply", "type-narrowed/reply"],
    ),
    (
        &[(
            "        pages: {type: integer, format: int64, minimum: 1, maximum: 9000}",
            "        pages: {type: boolean}",
        )],
        &["type-replaced/reply"],
        &["type-replaced/reply"],
    ),
    (
        &[("format: date,", "format: date-time,")],
        &["format-replaced/request"],
        &["format-replaced/request"],
    ),
    (
        &[("items: {type: string}", "items: {type: integer}")],
        &["type-replaced/request"],
        &["type-replaced/request"],
    ),
    (
        &[(
            "        quick: {type: boolean",
            "        quick: {type: boolean, deprecated: true",
        )],
        &["deprecated/request"],
        &["no-longer-deprecated/request"],
    ),
    (
        &[(
            "        extra: {type: object, additionalProperties: {type: string}}",
            "        extra: {type: object, additionalProperties: true}",
        )],
        &["opened/request"],
        &["limit-narrowed/request"],
    ),
    (
        &[(
            "        extra: {type: object, additionalProperties: {type: string}}",
            "        extra: {type: object, additionalProperties: false}",
        )],
        &["closed/request"],
        &["limit-widened/request"],
    ),
    (
        &[(
            "        extra: {type: object, additionalProperties: {type: string}}",
            "        extra: {type: object, additionalProperties: {type: integer}}",
        )],
        &["type-replaced/request"],
        &["type-replaced/request"],
    ),
    (
        &[(
            "    Ending:\n      type: object\n      additionalProperties: false\n",
            "    Ending:\n      type: object\n",
        )],
        &["opened/request"],
        &["closed/request"],
    ),
    (
        &[(
            "    Loan:\n      type: object\n",
            "    Loan:\n      type: object\n      additionalProperties: false\n",
        )],
        &["closed/reply"],
        &["opened/reply"],
    ),
    // Enumerations.
    (
        &[(
            "      enum: [NOVEL, POEM, ESSAY]\n      x-deprecated",
            "      enum: [NOVEL, POEM, ESSAY, DRAMA]\n      x-deprecated",
        )],
        &["value-added/request"],
        &["value-removed/request"],
    ),
    (
        &[(
            "    GenreName:\n      type: string\n      enum: [NOVEL, POEM, ESSAY]\n",
            "    GenreName:\n      type: string\n      enum: [NOVEL, POEM, ESSAY, DRAMA]\n",
        )],
        &["value-added/reply"],
        &["value-removed/reply"],
    ),
    (
        &[(
            "    GenreName:\n      type: string\n      enum: [NOVEL, POEM, ESSAY]\n",
            "    GenreName:\n      type: string\n",
        )],
        &["enumeration-removed/reply"],
        &["enumeration-added/reply"],
    ),
    (
        &[(
            "      enum: [NOVEL, POEM, ESSAY]\n      x-deprecated",
            "      x-deprecated",
        )],
        &["enumeration-removed/request"],
        &["enumeration-added/request"],
    ),
    (
        &[("{ROMAN: NOVEL}", "{ROMAN: NOVEL, VERSE: POEM}")],
        &["old-spelling-added/request"],
        &["old-spelling-removed/request"],
    ),
    (
        &[("{ROMAN: NOVEL}", "{ROMAN: ESSAY}")],
        &["old-spelling-changed/request"],
        &["old-spelling-changed/request"],
    ),
    // Alternatives.
    (
        &[
            ("        - $ref: '#/components/schemas/BookByTitle'\n", ""),
            ("          Title: '#/components/schemas/BookByTitle'\n", ""),
            (
                "    BookByTitle:\n      type: object\n      additionalProperties: false\n      required: [type, title]\n      properties:\n        type: {type: string, enum: [Title]}\n        title: {type: string}\n",
                "",
            ),
        ],
        &[
            "alternative-removed/request",
            "component-removed",
            "discriminator-value-removed/request",
        ],
        &[
            "alternative-added/request",
            "component-added",
            "discriminator-value-added/request",
        ],
    ),
    (
        &[
            (
                "        - title: Club\n          allOf: [{$ref: '#/components/schemas/Club'}]\n",
                "",
            ),
            (
                "    Club:\n      type: object\n      required: [club]\n      properties:\n        club: {type: string}\n",
                "",
            ),
        ],
        &["alternative-removed/reply", "component-removed"],
        &["alternative-added/reply", "component-added"],
    ),
    (
        &[("        - title: Club\n", "        - title: Society\n")],
        &["alternative-renamed/reply"],
        &["alternative-renamed/reply"],
    ),
    (
        &[(
            "        - $ref: '#/components/schemas/BookById'\n        - $ref: '#/components/schemas/BookByTitle'\n",
            "        - $ref: '#/components/schemas/BookByTitle'\n        - $ref: '#/components/schemas/BookById'\n",
        )],
        &["alternatives-reordered/request"],
        &["alternatives-reordered/request"],
    ),
    (
        &[("    Holder:\n      oneOf:\n", "    Holder:\n      anyOf:\n")],
        &["alternatives-replaced/reply"],
        &["alternatives-replaced/reply"],
    ),
    (
        &[(
            "        propertyName: type\n",
            "        propertyName: kind\n",
        )],
        &["discriminator-changed/request"],
        &["discriminator-changed/request"],
    ),
    (
        &[(
            "          Id: '#/components/schemas/BookById'\n",
            "          Id: '#/components/schemas/BookByTitle'\n",
        )],
        &["discriminator-changed/request"],
        &["discriminator-changed/request"],
    ),
    (
        &[(
            "          Id: '#/components/schemas/BookById'\n",
            "          Number: '#/components/schemas/BookById'\n",
        )],
        &[
            "discriminator-value-added/request",
            "discriminator-value-removed/request",
        ],
        &[
            "discriminator-value-added/request",
            "discriminator-value-removed/request",
        ],
    ),
    // Names.
    (
        &[
            (
                "'#/components/schemas/Holder'}",
                "'#/components/schemas/Keeper'}",
            ),
            ("    Holder:\n", "    Keeper:\n"),
        ],
        &["schema-renamed/reply"],
        &["schema-renamed/reply"],
    ),
    (
        &[(
            "        message: {type: string}\n",
            "        message: {$ref: '#/components/schemas/Message'}\n    Message: {type: string}\n",
        )],
        &["schema-named/reply"],
        &["component-removed", "schema-renamed/reply"],
    ),
    // What means nothing.
    (
        &[("openapi: 3.0.3", "openapi: 3.0.2")],
        &["openapi-version-changed"],
        &["openapi-version-changed"],
    ),
    (
        &[("version: 1.4.2", "version: 1.4.3")],
        &["version-changed"],
        &["version-changed"],
    ),
    (
        &[("  title: Loans\n", "  title: Lending\n")],
        &["documentation-changed"],
        &["documentation-changed"],
    ),
    (
        &[("    description: For tests.\n", "")],
        &["documentation-changed"],
        &["documentation-changed"],
    ),
    (
        &[(
            "      summary: Lend a book\n",
            "      summary: Lend one book\n",
        )],
        &["documentation-changed"],
        &["documentation-changed"],
    ),
    (
        &[("description: Since when.", "description: From when on.")],
        &["documentation-changed"],
        &["documentation-changed"],
    ),
    (
        &[("              example: {loans: []}\n", "")],
        &["documentation-changed"],
        &["documentation-changed"],
    ),
    (
        &[(", example: 5}", ", example: 6}")],
        &["documentation-changed"],
        &["documentation-changed"],
    ),
    (
        &[(
            "    description: Who has which book.\n",
            "    description: Who has what.\n",
        )],
        &["documentation-changed"],
        &["documentation-changed"],
    ),
    (
        &[("[book, until]", "[until, book]")],
        &["reordered"],
        &["reordered"],
    ),
    (
        &[(
            "      required: [id, since]\n      properties:\n        id: {type: string, format: uuid}\n        since: {type: string, format: date-time, description: Since when.}\n",
            "      required: [id, since]\n      properties:\n        since: {type: string, format: date-time, description: Since when.}\n        id: {type: string, format: uuid}\n",
        )],
        &["reordered"],
        &["reordered"],
    ),
    (
        &[(
            "        holder: {$ref: '#/components/schemas/Holder'}",
            "        holder: {allOf: [{$ref: '#/components/schemas/Holder'}]}",
        )],
        &["written-differently"],
        &["written-differently"],
    ),
    (
        &[(
            "        quick: {type: boolean",
            "        quick: {type: boolean, nullable: false",
        )],
        &["written-differently"],
        &["written-differently"],
    ),
    (
        &[(
            "        - name: shelf\n",
            "        - required: false\n          name: shelf\n",
        )],
        &["written-differently"],
        &["written-differently"],
    ),
    (
        &[("        - name: X-Trace\n", "        - name: x-trace\n")],
        &["written-differently", "written-differently"],
        &["written-differently", "written-differently"],
    ),
    (
        &[("# A small document of which", "# A document of which")],
        &["layout-changed"],
        &["layout-changed"],
    ),
    (
        &[(
            "type: boolean, default: false",
            "type: boolean,  default: false",
        )],
        &["layout-changed"],
        &["layout-changed"],
    ),
    // A type that an `allOf` contradicts allows nothing.
    (
        &[(
            "        holder: {$ref: '#/components/schemas/Holder'}",
            "        holder: {type: object, allOf: [{$ref: '#/components/schemas/Holder'}]}",
        )],
        &["written-differently"],
        &["written-differently"],
    ),
    (
        &[(
            "        genre: {allOf: [{$ref: '#/components/schemas/GenreName'}], ",
            "        genre: {type: object, allOf: [{$ref: '#/components/schemas/GenreName'}], ",
        )],
        &["type-replaced/reply"],
        &["type-replaced/reply"],
    ),
    (
        &[(
            "        quick: {type: boolean",
            "        quick: {minLength: 0, type: boolean",
        )],
        &["written-differently"],
        &["written-differently"],
    ),
    // What nobody gave a rule.
    (
        &[(
            "        quick: {type: boolean",
            "        quick: {type: boolean, x-sure: true",
        )],
        &["unjudged"],
        &["unjudged"],
    ),
    (
        &[(
            "        quick: {type: boolean",
            "        quick: {type: boolean, writeOnly: true",
        )],
        &["unjudged"],
        &["unjudged"],
    ),
    (
        &[(
            "      operationId: lend\n",
            "      operationId: lend\n      x-group: a\n",
        )],
        &["unjudged"],
        &["unjudged"],
    ),
    (
        &[(
            "    delete:\n",
            "    servers: [{url: https://other.example}]\n    delete:\n",
        )],
        &["unjudged"],
        &["unjudged"],
    ),
];

#[test]
fn known_changes_are_told_for_what_they_are() {
    assert!(CASES.len() >= 60);
    let mut wrong = Vec::new();
    for (edits, there, back) in CASES {
        let text = edited(edits);
        for (told, expected) in [(told(LOANS, &text), there), (told(&text, LOANS), back)] {
            if told != **expected {
                wrong.push(format!(
                    "{edits:#?}\n  expected {expected:?}\n  found    {told:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// One of each kind of change that the table has a row for.
fn one_of_each() -> Vec<Change> {
    let text = || "x".to_owned();
    let mut all = vec![
        Change::OperationAdded,
        Change::OperationRemoved,
        Change::OperationRenamed {
            from: text(),
            to: text(),
        },
        Change::OperationMoved {
            from: text(),
            to: text(),
        },
        Change::TagsChanged,
        Change::SecurityAlternativeAdded(text()),
        Change::SecurityAlternativeRemoved(text()),
        Change::SecuritySchemeChanged(text()),
        Change::ServerAdded,
        Change::ServerRemoved,
        Change::FirstServerChanged {
            from: text(),
            to: text(),
        },
        Change::ServerVariableChanged,
        Change::OpenApiVersionChanged {
            from: text(),
            to: text(),
        },
        Change::VersionChanged {
            from: text(),
            to: text(),
        },
        Change::PathParameterRenamed {
            from: text(),
            to: text(),
        },
        Change::ParameterInserted,
        Change::ParametersReordered,
        Change::ParameterRemoved,
        Change::ParameterMoved {
            from: text(),
            to: text(),
        },
        Change::SerializationChanged("style"),
        Change::BodyRemoved,
        Change::MediaTypeAdded,
        Change::MediaTypeRemoved,
        Change::HeaderRemoved,
        Change::BecameRequired,
        Change::BecameOptional,
        Change::PropertyRemoved,
        Change::NullAllowed,
        Change::NullRefused,
        Change::NullKeepsChanged,
        Change::EnumerationAdded,
        Change::EnumerationRemoved,
        Change::ValueAdded(text()),
        Change::ValueRemoved(text()),
        Change::OldSpellingAdded(text()),
        Change::OldSpellingRemoved(text()),
        Change::OldSpellingChanged(text()),
        Change::Closed,
        Change::Opened,
        Change::AlternativeAdded,
        Change::AlternativeRemoved,
        Change::AlternativeRenamed {
            from: text(),
            to: text(),
        },
        Change::AlternativesReordered,
        Change::AlternativesReplaced,
        Change::DiscriminatorChanged,
        Change::DiscriminatorValueAdded(text()),
        Change::DiscriminatorValueRemoved(text()),
        Change::DefaultChanged {
            from: text(),
            to: text(),
        },
        Change::SchemaRenamed {
            from: text(),
            to: text(),
        },
        Change::SchemaNamed(text()),
        Change::Deprecated,
        Change::NoLongerDeprecated,
        Change::DocumentationChanged,
        Change::ComponentAdded,
        Change::ComponentRemoved,
        Change::Reordered,
        Change::WrittenDifferently,
        Change::LayoutChanged,
        Change::Unjudged(text()),
    ];
    for yes in [true, false] {
        all.extend([
            Change::ParameterAdded { required: yes },
            Change::BodyAdded { required: yes },
            Change::HeaderAdded { required: yes },
            Change::PropertyAdded { required: yes },
            Change::StatusAdded { success: yes },
            Change::StatusRemoved { success: yes },
        ]);
    }
    for effect in [Effect::Widened, Effect::Narrowed, Effect::Replaced] {
        let (from, to) = (text(), text());
        all.push(Change::TypeChanged { effect, from, to });
        let (from, to) = (text(), text());
        all.push(Change::FormatChanged { effect, from, to });
        let (from, to, key) = (text(), text(), "minimum");
        all.push(Change::LimitChanged {
            effect,
            key,
            from,
            to,
        });
    }
    all
}

/// The rows of the table in the documentation: the name, and the cells for request, reply and elsewhere.
fn table() -> BTreeMap<String, [String; 3]> {
    let rows = include_str!("change.rs").lines().filter_map(|line| {
        let row = line.strip_prefix("//! | `")?;
        let mut cells = row.split('|').map(str::trim);
        let name = cells.next()?.trim_end_matches('`').to_owned();
        let mut cell = || Some(cells.next()?.to_owned());
        Some((name, [cell()?, cell()?, cell()?]))
    });
    rows.collect()
}

#[test]
fn every_row_of_the_table_holds() {
    let table = table();
    let all = one_of_each();
    let names: BTreeSet<String> = all.iter().map(Change::id).collect();
    assert_eq!(names.len(), all.len());
    assert_eq!(names, table.keys().cloned().collect::<BTreeSet<_>>());
    for change in all {
        let sides = [Side::Request, Side::Reply, Side::Elsewhere];
        for (side, cell) in sides.into_iter().zip(&table[&change.id()]) {
            let judgement = change.judge(side);
            let classes = format!("{}/{}", judgement.callers, judgement.servers);
            assert!(
                *cell == classes || cell == "-",
                "{} {side:?}: {classes}",
                change.id()
            );
            for sentence in [judgement.cause, judgement.remedy] {
                assert!(sentence.ends_with('.'), "{sentence}");
            }
        }
    }
}

#[test]
fn every_row_of_the_table_has_a_known_change_and_none_stands_where_it_cannot() {
    let mut seen: BTreeSet<(String, &str)> = BTreeSet::new();
    for (_, there, back) in CASES {
        for told in there.iter().chain(*back) {
            let (name, side) = told.split_once('/').unwrap_or((told, "elsewhere"));
            seen.insert((name.to_owned(), side));
        }
    }
    let table = table();
    for (name, side) in &seen {
        let index = ["request", "reply", "elsewhere"]
            .iter()
            .position(|known| known == side);
        assert_ne!(table[name][index.unwrap()], "-", "{name}/{side}");
    }
    for name in table.keys() {
        assert!(
            seen.iter().any(|(known, _)| known == name),
            "no known change is {name}"
        );
    }
}

fn real(path: &str) -> (String, Node) {
    let text = fs::read_to_string(crate::workspace_root().join(path)).unwrap();
    let node = yaml::parse(&text).unwrap();
    (text, node)
}

#[test]
fn a_document_does_not_differ_from_itself() {
    let (text, _) = real(SPEC);
    assert_eq!(told(&text, &text), [""; 0]);
    assert_eq!(told(LOANS, LOANS), [""; 0]);
}

#[test]
fn what_an_all_of_says_twice_is_refused_rather_than_guessed_at() {
    let from = "        holder: {$ref: '#/components/schemas/Holder'}";
    let with = |inner: &str| {
        edited(&[(
            from,
            &format!("{from}\n        page: {{maximum: 9, allOf: [{{type: integer, {inner}}}]}}"),
        )])
    };
    for (old, new) in [
        ("maximum: 7", "maximum: 8"),
        ("format: int64", "maximum: 7, format: int64"),
    ] {
        assert_eq!(told(&with(old), &with(new)), ["unjudged"], "{new}");
    }
    // Of what is said once, it doesn't matter where.
    assert_eq!(
        told(&with("minimum: 1"), &with("minimum: 2")),
        ["limit-narrowed/reply"]
    );
}

#[test]
fn line_ends_are_layout() {
    assert_eq!(
        told(LOANS, &LOANS.replace('\n', "\r\n")),
        ["layout-changed"]
    );
}

#[test]
fn one_place_that_two_operations_share_is_one_change_that_names_both() {
    let new = edited(&[(
        "        pages: ",
        "        weight: {type: number}\n        pages: ",
    )]);
    let comparison = compare(document(LOANS), document(&new));
    let [found] = &comparison.found[..] else {
        panic!("{:?}", comparison.found)
    };
    assert_eq!(found.place, "Loan.weight");
    let operations: Vec<_> = found.operations.iter().collect();
    assert_eq!(operations, ["lend", "list_loans"]);
}

/// The pointers of all values below a node, itself included.
fn pointers(node: &Node, pointer: &str, all: &mut Vec<String>) {
    all.push(pointer.to_owned());
    for entry in node.entries() {
        pointers(&entry.value, &child_pointer(pointer, &entry.key), all);
    }
    for (index, item) in node.items().iter().enumerate() {
        pointers(item, &child_pointer(pointer, &index.to_string()), all);
    }
}

fn at<'a>(node: &'a mut Node, pointer: &str) -> &'a mut Node {
    let mut node = node;
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        node = match &mut node.kind {
            Kind::Map(entries) => {
                let entry = entries.iter_mut().find(|entry| entry.key == step);
                &mut entry.unwrap().value
            }
            Kind::List(items) => &mut items[step.parse::<usize>().unwrap()],
            _ => panic!("nothing at {pointer}"),
        };
    }
    node
}

/// Whether a value is, or is part of, what only people read.
fn is_in_prose(pointer: &str) -> bool {
    let steps = crate::codegen::grammar::trail(pointer);
    steps.iter().any(super::rest::is_prose)
}

/// Other values that might stand in place of a scalar.
fn others(kind: &Kind) -> Vec<Kind> {
    let words = [
        "string",
        "integer",
        "number",
        "boolean",
        "object",
        "int32",
        "int64",
        "uuid",
        "date-time",
        "query",
        "header",
        "path",
        "cookie",
        "form",
        "simple",
    ];
    match kind {
        Kind::Bool(value) => vec![Kind::Bool(!value), Kind::Null],
        Kind::Number(number) => {
            let number = number.as_i64().unwrap_or_default();
            vec![
                Kind::Number((number + 1).into()),
                Kind::Number((number - 1).into()),
            ]
        }
        Kind::Text(text) => {
            let mut all = vec![Kind::Text(format!("{text}x")), Kind::Text(String::new())];
            if let Some((head, name)) = text.rsplit_once('/')
                && head.starts_with("#/components/")
            {
                // Another component of the same section.
                let other = match head {
                    "#/components/schemas" => ["Metadata", "TagKeyValue"],
                    "#/components/parameters" => ["BusinessId", "PaymentId"],
                    "#/components/headers" => ["X-Request-Id", "Retry-After"],
                    "#/components/examples" => ["UpdateClear", "BulkReply"],
                    _ => ["BadRequest", "NotFound"],
                };
                let other = other.into_iter().find(|other| *other != name).unwrap();
                all.push(Kind::Text(format!("{head}/{other}")));
            } else if words.contains(&text.as_str()) {
                // The few that stand after it.
                let others = words
                    .iter()
                    .cycle()
                    .skip_while(|word| *word != text)
                    .skip(1);
                all.extend(others.take(4).map(|word| Kind::Text((*word).to_owned())));
            }
            all.retain(|kind| !matches!(kind, Kind::Text(other) if other == text));
            all
        }
        Kind::Null => vec![Kind::Bool(true)],
        Kind::List(_) | Kind::Map(_) => Vec::new(),
    }
}

/// Whether a change stands where a document was changed: there, around it or, where what was changed is a reference, in
/// what it leads to.
fn stands_at(found: &Found, pointer: &str, old: &Node, new: &Node) -> bool {
    let target = |root: &Node| {
        let text = root
            .find(pointer)?
            .text()?
            .strip_prefix("#/components/")?
            .to_owned();
        Some(format!("/components/{text}"))
    };
    let (from, to) = (target(old), target(new));
    [&found.old, &found.new].into_iter().flatten().any(|place| {
        contains(place, pointer)
            || contains(pointer, place)
            || [&from, &to]
                .into_iter()
                .flatten()
                .any(|target| contains(target, place))
    }) || found.also.iter().any(|also| contains(also, pointer))
}

/// What `change` must be for a document in which one scalar that isn't prose was changed.
fn means_something(found: &Found) -> bool {
    !matches!(
        found.change,
        Change::WrittenDifferently
            | Change::Reordered
            | Change::ComponentAdded
            | Change::ComponentRemoved
    )
}

#[test]
fn no_changed_scalar_of_the_real_document_goes_unseen() {
    let (_, old) = real(SPEC);
    let mut all = Vec::new();
    pointers(&old, "", &mut all);
    let mut new = old.clone();
    let (mut count, mut silent) = (0, Vec::new());
    for pointer in &all {
        let now = &old.find(pointer).unwrap().kind;
        // One other text is enough where only people read it.
        let most = if is_in_prose(pointer) { 1 } else { usize::MAX };
        for other in others(now).into_iter().take(most) {
            at(&mut new, pointer).kind = other.clone();
            count += 1;
            let found = changes(&old, &new);
            assert!(
                found
                    .iter()
                    .any(|found| stands_at(found, pointer, &old, &new)),
                "{pointer} as {other:?}: {found:#?}"
            );
            // Other failures look the same on the wire.
            let failure =
                matches!(&other, Kind::Text(to) if to.starts_with("#/components/responses/"));
            if !failure && !found.iter().any(means_something) {
                silent.push(format!("{pointer} as {other:?}"));
            }
            // What is a change in one direction is one in the other.
            if count % 8 == 0 {
                assert!(!changes(&new, &old).is_empty(), "{pointer} as {other:?}");
            }
        }
        if matches!(now, Kind::List(_) | Kind::Map(_)) {
            continue;
        }
        at(&mut new, pointer).kind = now.clone();
    }
    assert!(count > 2000, "{count}");
    assert_eq!(silent, [""; 0]);
}

#[test]
fn no_key_or_item_that_goes_from_or_comes_to_the_real_document_goes_unseen() {
    let (_, old) = real(SPEC);
    let mut all = Vec::new();
    pointers(&old, "", &mut all);
    let mut new = old.clone();
    for (index, pointer) in all.iter().enumerate().skip(1) {
        // The values of examples are many and all alike.
        if is_in_prose(pointer) && index % 4 != 0 {
            continue;
        }
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        let whole = at(&mut new, parent).kind.clone();
        match &mut at(&mut new, parent).kind {
            Kind::Map(entries) => entries.retain(|entry| entry.key != key),
            Kind::List(items) => {
                items.remove(key.parse::<usize>().unwrap());
            }
            _ => panic!("{parent} holds nothing"),
        }
        for (one, other) in [(&old, &new), (&new, &old)] {
            let found = changes(one, other);
            assert!(
                found
                    .iter()
                    .any(|found| stands_at(found, pointer, one, other)
                        || [&found.old, &found.new]
                            .into_iter()
                            .flatten()
                            .any(|place| contains(place, parent))),
                "{pointer}: {found:#?}"
            );
            if index % 8 != 0 {
                break;
            }
        }
        at(&mut new, parent).kind = whole;
    }
}

#[test]
fn an_extension_without_a_rule_is_refused_wherever_it_stands() {
    let (_, old) = real(SPEC);
    let mut all = Vec::new();
    pointers(&old, "", &mut all);
    let mut count = 0;
    for pointer in &all {
        let added = format!("{pointer}/x-strange");
        let steps = crate::codegen::grammar::trail(&added);
        let last = steps.last().unwrap();
        // Only where OpenAPI allows extensions: not in a value, and not as the name of a property.
        if last.key != "x-strange"
            || steps.iter().any(|step| {
                matches!(
                    step.key,
                    "example" | "examples" | "tags" | "license" | "contact"
                )
            })
        {
            continue;
        }
        let mut new = old.clone();
        let Kind::Map(entries) = &mut at(&mut new, pointer).kind else {
            continue;
        };
        // Nothing may stand beside a reference.
        if entries.iter().any(|entry| entry.key == "$ref") {
            continue;
        }
        let mut entry = entries[0].clone();
        entry.key = "x-strange".to_owned();
        entry.value.kind = Kind::Bool(true);
        entries.push(entry);
        count += 1;
        let found = changes(&old, &new);
        assert!(
            found
                .iter()
                .any(|found| matches!(&found.change, Change::Unjudged(key) if key == "x-strange")),
            "{pointer}: {found:?}"
        );
    }
    assert!(count > 300, "{count}");
}

/// A work tree with the document in it, under git, one commit.
fn work_tree(text: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("spec")).unwrap();
    fs::write(folder.path().join("README"), "x").unwrap();
    git(folder.path(), &["init", "-q", "-b", "main"]);
    git(folder.path(), &["add", "README"]);
    git(folder.path(), &["commit", "-q", "-m", "empty"]);
    write(folder.path(), text);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-q", "-m", "document"]);
    folder
}

fn write(root: &Path, text: &str) {
    fs::write(root.join(SPEC), text).unwrap();
    let version = text
        .lines()
        .find_map(|line| Version::read(line.strip_prefix("  version: ")?));
    let version = version.unwrap_or(Version(1, 4, 2)).to_string();
    write_local(root, &LOCAL.replace("1.4.2", &version));
}

/// A document beside the API, which refers to it, and has a component that is no part of an operation.
const LOCAL: &str = "\
openapi: 3.0.3
info: {title: Shelves, version: 1.4.2}
paths:
  /shelves:
    get:
      operationId: last_loan
      responses:
        '200':
          description: The last loan.
          content:
            application/json:
              schema: {$ref: 'layer-payments.yaml#/components/schemas/Loan'}
  /reset:
    post:
      operationId: reset
      responses: {'204': {description: Done.}}
components:
  schemas:
    File: {type: string}
";

fn write_local(root: &Path, text: &str) {
    fs::write(root.join(PARTS[1].path), text).unwrap();
}

fn changelog(root: &Path, version: &str) {
    fs::write(
        root.join(CHANGELOG),
        format!("# Changelog\n\n## {version} - 2026-01-01\n"),
    )
    .unwrap();
}

fn git(folder: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            "user.name=n",
            "-c",
            "user.email=n@example.com",
            "-c",
            "commit.gpgsign=false",
        ])
        .args(arguments)
        .status()
        .unwrap();
    assert!(status.success(), "git {arguments:?}");
}

fn options(revision: Option<&str>) -> Options {
    Options {
        revision: revision.map(str::to_owned),
        format: Format::Text,
        check: false,
        bless: false,
    }
}

fn against(root: &Path, revision: &str) -> Result<(String, u8), String> {
    answer(root, &options(Some(revision))).map_err(|trouble| trouble.to_string())
}

fn checked(root: &Path) -> Result<u8, String> {
    let options = Options {
        check: true,
        ..options(None)
    };
    answer(root, &options)
        .map(|(_, code)| code)
        .map_err(|trouble| trouble.to_string())
}

fn blessed(root: &Path) -> Result<String, String> {
    let options = Options {
        bless: true,
        ..options(None)
    };
    answer(root, &options)
        .map(|(text, _)| text)
        .map_err(|trouble| trouble.to_string())
}

#[test]
fn the_exit_code_tells_the_gravest_change() {
    let folder = work_tree(LOANS);
    for (edit, code) in [
        (
            ("description: Since when.", "description: From when on."),
            0,
        ),
        (
            (
                "        pages: ",
                "        weight: {type: number}\n        pages: ",
            ),
            3,
        ),
        (
            (
                "        quick: ",
                "        slow: {type: boolean}\n        quick: ",
            ),
            4,
        ),
        (("        quick: {type: boolean, default: false}\n", ""), 5),
    ] {
        write(folder.path(), &edited(&[edit]));
        let (text, found) = against(folder.path(), "HEAD").unwrap();
        assert_eq!(found, code, "{text}");
    }
    write(folder.path(), LOANS);
    let (text, code) = against(folder.path(), "main").unwrap();
    assert_eq!((text.lines().last(), code), (Some("no changes"), 0));
}

#[test]
fn the_report_tells_place_cause_and_remedy() {
    let folder = work_tree(LOANS);
    write(
        folder.path(),
        &edited(&[("        quick: {type: boolean, default: false}\n", "")]),
    );
    let (text, _) = against(folder.path(), "HEAD").unwrap();
    let line = 1 + LOANS
        .lines()
        .position(|line| line.starts_with("        quick: "))
        .unwrap();
    let expected = format!(
        "spec/layer-payments.yaml (1.4.2) against HEAD:spec/layer-payments.yaml (1.4.2)\n\n\
         breaking for callers:\n  \
           property-removed: NewLoan.quick, sent by callers\n    \
             HEAD:spec/layer-payments.yaml:{line}: /components/schemas/NewLoan/properties/quick\n    \
             in lend\n    \
             why: Requests are closed: callers that send it are refused.\n    \
             do: Keep it and mark it deprecated.\n\n\
         1 change: 1 breaking for callers\n\n\
         spec/local.yaml (1.4.2) against HEAD:spec/local.yaml (1.4.2)\nno changes\n"
    );
    assert_eq!(text, expected);
    let json = Options {
        format: Format::Json,
        ..options(Some("HEAD"))
    };
    let (text, code) = answer(folder.path(), &json).unwrap();
    assert_eq!(code, 5);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["callers"], "breaking");
    assert_eq!(value["servers"], "compatible");
    let change = &value["documents"][0]["changes"][0];
    assert_eq!(change["change"], "property-removed");
    assert_eq!(change["side"], "request");
    assert_eq!(change["old"]["line"], line);
    assert_eq!(change["new"], serde_json::Value::Null);
    assert_eq!(change["operations"], serde_json::json!(["lend"]));
}

#[test]
fn what_the_version_must_be_follows_from_the_changes() {
    use Class::{Breaking, Compatible, Trivial};
    for (published, callers, servers, version) in [
        ("0.3.4", Trivial, Trivial, "0.3.4"),
        ("0.3.4", Compatible, Trivial, "0.3.5"),
        ("0.3.4", Compatible, Breaking, "0.4.0"),
        ("0.3.4", Breaking, Compatible, "0.4.0"),
        ("1.3.4", Trivial, Trivial, "1.3.4"),
        ("1.3.4", Trivial, Compatible, "1.4.0"),
        ("1.3.4", Compatible, Breaking, "2.0.0"),
        ("1.3.4", Breaking, Trivial, "2.0.0"),
    ] {
        let published = Version::read(published).unwrap();
        assert_eq!(needed(published, (callers, servers)).to_string(), version);
    }
    for text in [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "1.2.x",
        "01.2.3",
        "1.2.3-rc.1",
        "-1.2.3",
        "+1.2.3",
    ] {
        assert_eq!(Version::read(text), None, "{text}");
    }
}

#[test]
fn a_document_is_published_once_its_version_covers_its_changes() {
    let folder = work_tree(LOANS);
    let root = folder.path();
    assert!(checked(root).unwrap_err().contains("--bless"));
    assert!(
        blessed(root)
            .unwrap_err()
            .starts_with("spec/CHANGELOG.md has no entry for version 1.4.2")
    );
    changelog(root, "1.4.2");
    assert_eq!(
        blessed(root).unwrap(),
        "wrote spec/published/1.4.2.local.yaml\nwrote spec/published/1.4.2.yaml\n"
    );
    assert_eq!(
        blessed(root).unwrap(),
        "spec/published/1.4.2.local.yaml is up to date\nspec/published/1.4.2.yaml is up to date\n"
    );
    assert_eq!(checked(root).unwrap(), 0);

    // What is trivial may wait for the next version, but isn't published under the same number.
    let trivial = ("description: Since when.", "description: From when on.");
    write(root, &edited(&[trivial]));
    assert_eq!(checked(root).unwrap(), 0);
    assert!(
        blessed(root)
            .unwrap_err()
            .contains("a published document never changes")
    );

    let breaking = ("        quick: {type: boolean, default: false}\n", "");
    write(root, &edited(&[breaking]));
    let message = checked(root).unwrap_err();
    assert!(
        message.contains("property-removed: NewLoan.quick"),
        "{message}"
    );
    assert!(
        message.contains(
            "set `info.version` in spec/layer-payments.yaml and spec/local.yaml to 2.0.0"
        ),
        "{message}"
    );
    write(
        root,
        &edited(&[breaking, ("version: 1.4.2", "version: 1.9.9")]),
    );
    assert!(checked(root).is_err());
    write(
        root,
        &edited(&[breaking, ("version: 1.4.2", "version: 2.0.0")]),
    );
    assert!(checked(root).unwrap_err().contains("under `## 2.0.0`"));
    assert!(blessed(root).is_err());
    changelog(root, "[2.0.0]");
    assert_eq!(checked(root).unwrap(), 0);
    assert_eq!(
        blessed(root).unwrap(),
        "wrote spec/published/2.0.0.local.yaml\nwrote spec/published/2.0.0.yaml\n"
    );

    // From here on the later one counts, and the earlier one can be named.
    let answer = answer(root, &options(None)).unwrap();
    assert!(answer.0.ends_with("no changes\n"), "{}", answer.0);
    assert_eq!(against(root, "1.4.2").unwrap().1, 5);
    // A lower number is never right.
    write(root, LOANS);
    assert!(checked(root).is_err());
}

#[test]
fn a_checkout_in_which_something_is_wrong_is_told_what() {
    let folder = work_tree(LOANS);
    let root = folder.path();
    let message = against(root, "nonsense").unwrap_err();
    assert!(
        message.starts_with("git knows no revision `nonsense` and no such version"),
        "{message}"
    );
    for revision in ["", "--output=x"] {
        assert!(
            against(root, revision)
                .unwrap_err()
                .starts_with("git knows no revision"),
            "{revision}"
        );
    }
    assert!(!root.join("x").exists());
    let message = against(root, "HEAD~1").unwrap_err();
    assert!(
        message.starts_with("there is no spec/layer-payments.yaml at `HEAD~1`"),
        "{message}"
    );

    let clones = tempfile::tempdir().unwrap();
    let url = format!("file://{}", root.display());
    git(
        clones.path(),
        &["clone", "-q", "--depth", "1", &url, "shallow"],
    );
    let message = against(&clones.path().join("shallow"), "HEAD~1").unwrap_err();
    assert!(
        message.contains("this clone is shallow; fetch the rest"),
        "{message}"
    );

    fs::create_dir_all(clones.path().join("bare/spec")).unwrap();
    write(&clones.path().join("bare"), LOANS);
    let message = against(&clones.path().join("bare"), "HEAD").unwrap_err();
    assert!(message.contains("isn't a work tree of git"), "{message}");

    fs::remove_file(root.join(SPEC)).unwrap();
    let message = against(root, "HEAD").unwrap_err();
    assert!(
        message.starts_with("can't read spec/layer-payments.yaml: "),
        "{message}"
    );
}

#[test]
fn a_workspace_below_the_top_of_a_repository_is_compared_with_its_own_document() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("part");
    fs::create_dir_all(root.join("spec")).unwrap();
    write(&root, LOANS);
    git(folder.path(), &["init", "-q"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["commit", "-q", "-m", "document"]);
    assert_eq!(against(&root, "HEAD").unwrap().1, 0);
}

#[test]
fn a_document_that_is_none_is_reported_with_its_place() {
    let folder = work_tree(LOANS);
    let root = folder.path();
    let mut merge = LOANS.replacen(
        "  title: Loans\n",
        "<<<<<<< HEAD\n  title: Loans\n=======\n  title: Lending\n>>>>>>> other\n",
        1,
    );
    for (text, expected) in [
        (
            merge.as_str(),
            "spec/layer-payments.yaml:4:1: /: a merge that isn't finished",
        ),
        (
            &edited(&[("type: boolean", "type: bool")]),
            "`bool` is none of",
        ),
        (
            &edited(&[(
                "'#/components/schemas/Holder'}",
                "'#/components/schemas/Holders'}",
            )]),
            "did you mean `Holder`?",
        ),
        (
            &edited(&[("version: 1.4.2", "version: soon")]),
            "spec/layer-payments.yaml:5:3: /info/version: expected a version",
        ),
        ("a: [", "spec/layer-payments.yaml:"),
        ("", "spec/layer-payments.yaml:"),
    ] {
        write(root, text);
        let trouble = answer(root, &options(Some("HEAD"))).unwrap_err();
        assert_eq!((trouble.code(false), trouble.code(true)), (100, 1));
        let message = trouble.to_string();
        assert!(message.contains(expected), "{message}");
        assert!(
            message.ends_with("nothing was compared; mend the document first"),
            "{message}"
        );
    }
    fs::write(root.join(SPEC), b"openapi: 3.0.3\ninfo: \xff\n").unwrap();
    let message = against(root, "HEAD").unwrap_err();
    assert!(
        message.starts_with("spec/layer-payments.yaml:2:1: /: not UTF-8"),
        "{message}"
    );

    // The same in the earlier document.
    merge.push('\n');
    write(root, &merge);
    git(root, &["commit", "-q", "-a", "-m", "merge"]);
    write(root, LOANS);
    let message = against(root, "HEAD").unwrap_err();
    assert!(
        message.starts_with("HEAD:spec/layer-payments.yaml:4:1: "),
        "{message}"
    );
}

#[test]
fn what_is_published_keeps_its_name() {
    let folder = work_tree(LOANS);
    let root = folder.path();
    fs::create_dir_all(root.join(PUBLISHED)).unwrap();
    fs::write(root.join("spec/published/1.4.1.yaml"), LOANS).unwrap();
    assert!(
        checked(root)
            .unwrap_err()
            .starts_with("spec/published/1.4.1.yaml says that its version is 1.4.2")
    );
    fs::write(root.join("spec/published/latest.yaml"), LOANS).unwrap();
    assert!(
        checked(root)
            .unwrap_err()
            .starts_with("spec/published/latest.yaml isn't named after a version")
    );
}

#[test]
fn the_document_beside_the_api_needs_a_version_for_its_changes_too() {
    let folder = work_tree(LOANS);
    let root = folder.path();
    changelog(root, "1.4.2");
    blessed(root).unwrap();
    let reset = "  /reset:\n    post:\n      operationId: reset\n      responses: {'204': {description: Done.}}\n";
    assert!(LOCAL.contains(reset));
    write_local(root, &LOCAL.replace(reset, ""));
    let message = checked(root).unwrap_err();
    for part in [
        "spec/local.yaml (1.4.2) against spec/published/1.4.2.local.yaml (1.4.2)\n\nbreaking for callers:\n",
        "  operation-removed: operation reset (POST /reset)\n",
        "to 2.0.0",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let (text, code) = against(root, "HEAD").unwrap();
    assert_eq!(code, 5, "{text}");
    assert!(
        blessed(root)
            .unwrap_err()
            .starts_with("spec/published/1.4.2.local.yaml is published with other content")
    );

    // Another schema of the API is another type, whatever it is.
    write_local(root, &LOCAL.replace("schemas/Loan", "schemas/LoanList"));
    let (text, code) = against(root, "HEAD").unwrap();
    assert_eq!(code, 5, "{text}");
    assert!(text.contains("type-replaced: "), "{text}");
    assert!(text.contains("/Loan to layer-payments.yaml#/"), "{text}");

    write_local(root, &LOCAL.replace("1.4.2", "1.5.0"));
    assert!(
        checked(root).unwrap_err().starts_with(
            "spec/local.yaml has version 1.5.0, but spec/layer-payments.yaml has 1.4.2"
        )
    );
    assert!(
        blessed(root)
            .unwrap_err()
            .starts_with("spec/local.yaml has")
    );

    write_local(
        root,
        &LOCAL.replace("layer-payments.yaml#/components/schemas/", "else.yaml#/"),
    );
    assert!(
        checked(root)
            .unwrap_err()
            .starts_with("spec/local.yaml:12:")
    );
}

#[test]
fn what_the_document_beside_the_api_refers_to_is_compared_in_the_api() {
    let (text, _) = real(PARTS[1].path);
    let (_, api) = real(SPEC);
    let reached = reached(&api);
    let targets: BTreeSet<&str> = text
        .split("\"layer-payments.yaml#")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(targets.len() >= 3, "{targets:?}");
    for target in targets {
        assert!(reached.contains(target), "{target}");
    }
}

#[test]
fn a_document_that_was_not_there_is_new() {
    let folder = work_tree(LOANS);
    let root = folder.path();
    git(root, &["rm", "-q", "--cached", PARTS[1].path]);
    git(root, &["commit", "-q", "-m", "without"]);
    let (text, code) = against(root, "HEAD").unwrap();
    assert_eq!(code, 4, "{text}");
    assert!(
        text.contains("spec/local.yaml (1.4.2) wasn't there\n"),
        "{text}"
    );
}

#[test]
fn the_version_of_the_real_document_covers_its_changes() {
    assert_eq!(checked(&crate::workspace_root()), Ok(0));
}
