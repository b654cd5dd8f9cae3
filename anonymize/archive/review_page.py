"""The review as one HTML page: no server, nothing fetched; what a person says is saved by the browser as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Final

from anonymize.archive.corrections import SCHEMA

if TYPE_CHECKING:
    from anonymize.archive.journal import FileRow
    from anonymize.archive.work import Moment
    from anonymize.media.stills import Still

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#20242a;background:#fff;max-width:1080px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}.moment{border-top:1px solid #dde1e6;padding:1em 0}.moment svg{width:100%;height:auto;
background:#eef0f3;cursor:crosshair;touch-action:none}.warning{color:#8a3b00}.quarantined{color:#a3121b}
input[type=number]{width:6em}label{margin-right:1em}#bar{position:sticky;top:0;background:#fff;padding:.5em 0;
border-bottom:1px solid #dde1e6}.found{fill:none;stroke:#e0218a;stroke-width:3;stroke-dasharray:9 6}
.added{fill:none;stroke:#1b6ca8;stroke-width:3}
""".replace("\n", "")
SCRIPT: Final = """
const svgNames='http://www.w3.org/2000/svg';
function number(form,name){return Number(form.querySelector('[name='+name+']').value)}
function span(form){return {from_s:number(form,'from_s'),until_s:number(form,'until_s')}}
function row(form,box){
  const line=document.createElement('p');line.className='missed';
  const label=document.createElement('select');
  for(const word of ['face','plate']){const one=document.createElement('option');one.textContent=word;label.append(one)}
  label.value=form.dataset.label==='face'?'face':'plate';
  line.append('missed: ',label,' x1,y1,x2,y2 px ');
  for(const value of box){const one=document.createElement('input');one.type='number';one.step='any';
    one.value=Math.round(value*10)/10;one.addEventListener('input',()=>draw(form));line.append(one)}
  const away=document.createElement('button');away.type='button';away.textContent='remove';
  away.addEventListener('click',()=>{line.remove();draw(form)});line.append(away);
  form.querySelector('.boxes').append(line);draw(form)}
function boxOf(line){return [...line.querySelectorAll('input')].map(one=>Number(one.value))}
function draw(form){
  const svg=form.querySelector('svg');
  if(svg){for(const one of svg.querySelectorAll('.added'))one.remove();
  for(const line of form.querySelectorAll('.missed'))svg.append(rectangle(boxOf(line)))}
  count()}
function rectangle(box){
  const one=document.createElementNS(svgNames,'rect');one.setAttribute('class','added');
  one.setAttribute('x',box[0]);one.setAttribute('y',box[1]);
  one.setAttribute('width',Math.max(0,box[2]-box[0]));one.setAttribute('height',Math.max(0,box[3]-box[1]));return one}
function place(svg,event){const point=svg.createSVGPoint();point.x=event.clientX;point.y=event.clientY;
  return point.matrixTransform(svg.getScreenCTM().inverse())}
function review(){
  const files=new Map();
  for(const form of document.querySelectorAll('.moment')){
    const key=form.dataset.key;
    if(!files.has(key))files.set(key,{key,source_digest:form.dataset.source,settings_digest:form.dataset.settings,
      added:[],released:[]});
    const file=files.get(key);
    if(form.querySelector('[name=false_hit]').checked)
      file.released.push({label:form.dataset.label,xyxy:JSON.parse(form.dataset.box),...span(form)});
    for(const line of form.querySelectorAll('.missed'))
      file.added.push({label:line.querySelector('select').value,xyxy:boxOf(line),...span(form)})}
  return {schema:SCHEMA,files:[...files.values()].filter(one=>one.added.length||one.released.length)}}
function count(){
  const said=review();let added=0,released=0;
  for(const one of said.files){added+=one.added.length;released+=one.released.length}
  document.querySelector('#said').textContent=added+' missed, '+released+' false hits'}
for(const form of document.querySelectorAll('.moment')){
  form.addEventListener('change',count);
  form.querySelector('.add').addEventListener('click',()=>row(form,JSON.parse(form.dataset.box)));
  const svg=form.querySelector('svg');if(!svg)continue;
  let from=null,shape=null;
  svg.addEventListener('pointerdown',event=>{from=place(svg,event);shape=rectangle([from.x,from.y,from.x,from.y]);
    svg.append(shape);svg.setPointerCapture(event.pointerId);event.preventDefault()});
  svg.addEventListener('pointermove',event=>{if(!from)return;const to=place(svg,event);
    const next=rectangle([Math.min(from.x,to.x),Math.min(from.y,to.y),Math.max(from.x,to.x),Math.max(from.y,to.y)]);
    shape.replaceWith(next);shape=next});
  svg.addEventListener('pointerup',event=>{if(!from)return;const to=place(svg,event);shape.remove();
    const box=[Math.min(from.x,to.x),Math.min(from.y,to.y),Math.max(from.x,to.x),Math.max(from.y,to.y)];from=null;
    if(box[2]-box[0]>2&&box[3]-box[1]>2)row(form,box)})}
document.querySelector('#save').addEventListener('click',()=>{
  const link=document.createElement('a');
  link.href=URL.createObjectURL(new Blob([JSON.stringify(review(),null,1)],{type:'application/json'}));
  link.download='review.json';link.click();URL.revokeObjectURL(link.href)});
count();
""".replace("SCHEMA", str(SCHEMA))
NOTICE: Final = (
    "This page holds personal data: pictures of the written output in which something may have been missed. Keep it to "
    "yourself, and delete it after the review."
)
HOW: Final = (
    "The dashed box is what was hidden, least certain first. Drag on a picture where a face or plate was missed; tick "
    "“false hit” where nothing needed hiding. Set the span of time for which that holds. Save, then run: "
    "anonymize archive run … --review review.json (with --release-false-hits, if false hits are to be shown)."
)
AROUND_S: Final = 0.5  # of a moment in a video, both ways


def as_page(output: str, shown: Sequence[tuple[FileRow, Moment, Still | None]]) -> str:
    """The whole page."""
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    security = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<meta http-equiv='Content-Security-Policy' content=\"{security}\">",
        "<meta name='robots' content='noindex, noarchive'>",
        f"<title>Personal data: archive review</title><style>{STYLE}</style></head><body>",
        f"<h1>Archive review</h1><p class='warning'><b>{escape(NOTICE)}</b></p>",
        f"<p>{escape(output)}</p><p>{escape(HOW)}</p>",
        "<p id='bar'><button id='save' type='button'>Save review.json</button> <span id='said'></span></p>",
        *(_moment(row, moment, still) for row, moment, still in shown),
        "<p>Nothing is uncertain.</p>" if not shown else "",
        f"<script>{SCRIPT}</script></body></html>",
    ]
    return "\n".join(parts)


def _moment(row: FileRow, moment: Moment, still: Still | None) -> str:
    settings = row.bound.settings_digest if row.bound is not None else ""
    around_s = 0.0 if row.kind == "picture" else AROUND_S
    words = (
        f"{row.key}{f', topic {moment.topic}' if moment.topic else ''}: {moment.label}, {moment.origin}, "
        f"confidence {moment.confidence:.2f}, frame {moment.frame} at {moment.pts_s:.3f} s"
    )
    facts = {
        "key": row.key, "source": row.source_digest, "settings": settings, "label": moment.label,
        "box": json.dumps([float(edge) for edge in moment.xyxy]),
    }  # fmt: skip
    attributes = "".join(f' data-{name}="{escape(value, quote=True)}"' for name, value in facts.items())
    return (
        f"<form class='moment'{attributes}>{_picture(moment, still)}<p>{escape(words)}</p>{_why(row, still)}"
        "<p><label><input type='checkbox' name='false_hit'> false hit: nothing needs hiding there</label>"
        f"<label>from <input type='number' step='any' name='from_s' value='{max(0.0, moment.pts_s - around_s):.3f}'> s"
        f"</label><label>until <input type='number' step='any' name='until_s' value='{moment.pts_s + around_s:.3f}'> s"
        "</label><button type='button' class='add'>add a missed box</button></p><div class='boxes'></div></form>"
    )


def _picture(moment: Moment, still: Still | None) -> str:
    if still is None:
        return ""
    x1, y1, x2, y2 = moment.xyxy
    address = base64.b64encode(still.jpeg).decode("ascii")
    return (
        f"<svg viewBox='0 0 {still.width} {still.height}'><image href='data:image/jpeg;base64,{address}' "
        f"width='{still.width}' height='{still.height}'/><rect class='found' x='{x1:.1f}' y='{y1:.1f}' "
        f"width='{x2 - x1:.1f}' height='{y2 - y1:.1f}'/></svg>"
    )


def _why(row: FileRow, still: Still | None) -> str:
    if row.state == "quarantined":
        return (
            f"<p class='quarantined'>In quarantine, nothing was written: {escape(row.error)}. Look at the source: "
            "add it as missed, or call it a false hit.</p>"
        )
    return "" if still is not None else "<p class='warning'>Pictures of robot logs are not shown here.</p>"
