"""The template that a page's index.html is; real Consul 1.8.7 renders the same (tests/system/ui)."""

import pytest

from consulpy.http.ui.index_template import TemplateError, render

VALUES = {"ContentPath": "/ui/", "ACLsEnabled": True, "Off": False, "Empty": ""}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("", ""),
        ("plain { } text", "plain { } text"),
        ("{{.ContentPath}}assets/a.js", "/ui/assets/a.js"),
        ("{{ .ContentPath }}", "/ui/"),
        ("{{.ACLsEnabled}} {{.Off}}", "true false"),
        ("{{.Unknown}}", "<no value>"),
        ("a {{- .ContentPath -}} b", "a/ui/b"),
        ("a\n{{/* a comment */}}\nb", "a\n\nb"),
        ("{{if .ACLsEnabled}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Off}}yes{{else}}no{{end}}", "no"),
        ("{{if .Unknown}}yes{{end}}", ""),
        ("{{if .Empty}}yes{{else}}no{{end}}", "no"),
        ("{{if not .Off}}yes{{end}}", "yes"),
        ("{{if .Off}}1{{else if .ACLsEnabled}}2{{else}}3{{end}}", "2"),
        ("{{if .Off}}1{{else if .Empty}}2{{else}}3{{end}}", "3"),
        ("{{if .ACLsEnabled}}1{{else if .ACLsEnabled}}2{{else}}3{{end}}", "1"),
        ("{{if .Off}}a{{if .ACLsEnabled}}b{{end}}c{{.ContentPath}}{{else}}d{{end}}e", "de"),
        ('{{"{{"}} {{`a"b`}} {{"a\\"b"}}', '{{ a"b a"b'),
        ("<b>{{.Html}}</b>", "<b><no value></b>"),
    ],
)
def test_rendered(template: str, expected: str) -> None:
    assert render(template, VALUES) == expected


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("\n\n{{range .Nodes}}{{end}}", "line 3: {{range .Nodes}} is not supported"),
        ("{{if .A}}", "line 1: {{if}} without {{end}}"),
        ("{{end}}", "line 1: unexpected {{end}}"),
        ("{{else}}", "line 1: unexpected {{else}}"),
        ("{{if .A}}{{else}}{{else}}{{end}}", "line 1: unexpected {{else}}"),
        ("{{if eq .A .B}}{{end}}", "line 1: {{if eq .A .B}} is not supported"),
        ("{{if .A}}{{else with .B}}{{end}}", "line 1: {{else with .B}} is not supported"),
        ("{{if}}{{end}}", "line 1: {{if }} is not supported"),
        ("a\n{{.Open", "line 2: {{ without }}"),
        ("{{}}", "line 1: {{}} is not supported"),
        ('{{"\\q"}}', 'line 1: "\\q" is not a text that is understood'),
    ],
)
def test_what_is_not_understood_says_so(template: str, reason: str) -> None:
    with pytest.raises(TemplateError) as caught:
        render(template, VALUES)
    assert str(caught.value) == reason
