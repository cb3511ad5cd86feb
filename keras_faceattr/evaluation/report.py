"""One self-contained HTML page about a run."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from keras_faceattr.config import Experiment
from keras_faceattr.data.prepare import crop_spec
from keras_faceattr.evaluation.formatting import group_table, metric_text, metric_title

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { text-align: left; padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #8884; }
td.number { font-variant-numeric: tabular-nums; text-align: right; }
figure { display: inline-block; margin: 0 .5rem .5rem 0; } img { max-width: 100%; width: 29rem; background: white; }
pre { overflow-x: auto; padding: .8rem; background: #8881; font-size: 13px; }
.note { color: #777; }
"""


def html_report(
    experiment: Experiment, results: dict[str, Any], provenance: dict[str, Any], plots: list[Path], put_aside: int
) -> str:
    """The page, with pictures inside it.

    Args:
        results: as in `metrics.json`.
        provenance: as in `provenance.json`.
        plots: PNG files.
        put_aside: rows in `quarantine.csv`.
    """
    title = html.escape(experiment.name)
    body = [
        f"<h1>{title}</h1>",
        f"<p>{html.escape(experiment.model.name)} at {experiment.data.crop.size}² pixels "
        f"({crop_spec(experiment).title}), measured on "
        f"{results['photos']} photos of the split <b>{results['split']}</b>, test-time augmentation: "
        f"{results['tta']}, seed {results['seed']}.</p>",
    ]
    for name, task in results["tasks"].items():
        body.append(_task(name, task))
    body.append("<h2>Pictures</h2>")
    body += [html_figure(path) for path in plots]
    body.append("<h2>Data</h2>")
    for name, source in provenance["sources"].items():
        citation, licence = html.escape(source["citation"] or "no citation given"), html.escape(source["licence"])
        body.append(f"<p><b>{html.escape(name)}</b>: {citation}. Licence: {licence}.</p>")
    body.append(f"<p>{put_aside} rows or photos put aside, see <code>quarantine.csv</code>.</p>")
    facts = {key: value for key, value in provenance.items() if key != "sources"}
    body += [
        "<h2>Provenance</h2>",
        f"<pre>{html.escape(yaml.safe_dump(facts, sort_keys=False, allow_unicode=True))}</pre>",
        "<details><summary>Configuration</summary>",
        f"<pre>{html.escape(yaml.safe_dump(experiment.model_dump(mode='json'), sort_keys=False))}</pre></details>",
    ]
    return html_page(experiment.name, body)


def html_page(title: str, body: list[str]) -> str:
    """A page that needs no other file.

    Args:
        title: as text.
        body: pieces of HTML.
    """
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body>{''.join(body)}</body></html>\n"
    )


def _task(name: str, task: dict[str, Any]) -> str:
    metrics = [(metric_title(m, task["unit"]), metric_text(m, numbers)) for m, numbers in task["metrics"].items()]
    drawn = "people" if task["kind"] == "identity" else "photos"
    parts = [
        f"<h2>{html.escape(name.capitalize())}</h2><p>{task['labelled']} labelled photos; "
        f'<span class="note">value and 95 % bootstrap interval over {drawn}</span></p>',
        html_table(["metric", "value"], metrics),
    ]
    for column, groups in task["groups"].items():
        header, rows = group_table(column, groups, task)
        parts += [f"<h3>By {html.escape(column)}</h3>", html_table(header, rows)]
    return "".join(parts)


def html_table(header: list[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; the first cell of each row is its name, the others are numbers."""
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    lines = []
    for first, *rest in rows:
        cells = "".join(f'<td class="number">{html.escape(cell)}</td>' for cell in rest)
        lines.append(f"<tr><td>{html.escape(first)}</td>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def html_figure(path: Path) -> str:
    """A PNG inside the page."""
    data = base64.b64encode(path.read_bytes()).decode()
    alternative = html.escape(path.stem.replace("_", " "))
    return f'<figure><img alt="{alternative}" src="data:image/png;base64,{data}"></figure>'
