"""The owner's page: the report as one HTML file that needs nothing beside it, Chinese and English side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

SECURITY: Final = "default-src 'none'; style-src 'unsafe-inline'"
STYLE: Final = """
body{font:15px/1.55 system-ui,"Noto Sans CJK SC","PingFang SC",sans-serif;color:#20242a;background:#fff;
max-width:1080px;margin:2em auto;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.15em;margin:2em 0 .4em}
.two{display:grid;grid-template-columns:1fr 1fr;gap:.3em 2em}.two p{margin:.2em 0}
table{border-collapse:collapse;font-size:13px;margin:.6em 0;width:100%}
td,th{padding:.3em .6em;border-bottom:1px solid #dde1e6;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}
code{font:12px ui-monospace,monospace;background:#f3f5f7;padding:.1em .3em;overflow-wrap:anywhere}
.warn{border-left:4px solid #c77700;padding-left:.8em}.no{color:#666d77}
@media(max-width:640px){.two{grid-template-columns:1fr}}
""".replace("\n", "")

Pair = tuple[str, str]  # Chinese, English
CLASSES: Final[dict[str, Pair]] = {
    "general": ("一般数据", "general"),
    "personal": ("个人信息", "personal"),
    "sensitive": ("敏感个人信息", "sensitive"),
    "important": ("重要数据", "important"),
}
BECAUSE: Final[dict[str, Pair]] = {
    "not_configured": ("尚未设置目的、同意或联系人", "no purpose, consent or contact is set"),
    "consent_withdrawn": ("同意已撤回", "the consent was withdrawn"),
    "consent_expired": ("同意已到期", "the consent has expired"),
    "clock_before_consent": ("系统时钟早于同意日期", "the clock is before the day of the consent"),
    "stopped": ("已由所有者停止", "stopped by the owner"),
}
REASONS: Final[dict[str, Pair]] = {
    **BECAUSE,
    "withheld": (
        "在禁止记录的地点附近，或位置不确定",
        "near a place where recording is forbidden, or place uncertain",
    ),
    "bad_frame": ("图像损坏", "damaged picture"),
    "interlaced": ("隔行图像", "interlaced picture"),
    "detector_blind": ("检测自检失败", "the detector's self-test failed"),
    "detector_error": ("检测出错", "the detector failed"),
    "too_many": ("目标过多", "too many objects"),
    "late": ("未能及时检测", "not looked at in time"),
    "check_failed": ("遮盖检查未通过", "the check after hiding failed"),
    "queue_full": ("处理或写入过慢，队列已满", "the engine or the disk was too slow, a queue was full"),
    "predicted_only": ("未经检测、仅凭预测遮盖", "hidden by prediction alone"),
    "disk_full": ("磁盘已满", "the disk was full"),
    "read_only": ("磁盘只读", "the disk was read-only"),
    "disk_error": ("磁盘错误", "the disk failed"),
    "encode_failed": ("编码失败", "coding failed"),
    "store_full": ("达到容量上限并已停止", "the size limit was reached, and recording stopped"),
    "ledger_failed": ("账本无法写入", "the ledger could not be written"),
    "store_failed": ("存储无法写入", "the store could not be written"),
    "internal_error": ("内部错误", "internal error"),
    "retention": ("保存期限已到", "its time was over"),
    "owner": ("由所有者删除", "deleted by the owner"),
    "withdrawn": ("同意撤回", "consent withdrawn"),
    "size_limit": ("容量上限", "size limit"),
    "damaged": ("已损坏", "damaged"),
    "segment.read": ("读取或复制", "read or copied"),
    "export.begun": ("开始导出", "export begun"),
    "export.made": ("导出", "exported"),
    "export.refused": ("拒绝导出", "export refused"),
    "export.failed": ("导出失败", "export failed"),
    "given": ("同意", "given"),
    "expired": ("到期", "expired"),
    "key_destroyed": ("密钥已销毁", "key destroyed"),
    "logical_deletion": ("逻辑删除", "logical deletion"),
    "delete_oldest": ("删除最早的数据", "the oldest is deleted"),
    "stop": ("停止记录", "recording stops"),
}


def as_page(report: Mapping[str, Any]) -> str:
    """The whole page of a report from `whole_report`."""
    return "".join(
        [
            "<!doctype html><html lang='zh'><head><meta charset='utf-8'>",
            f"<meta http-equiv='Content-Security-Policy' content=\"{SECURITY}\">",
            "<meta name='viewport' content='width=device-width'>",
            f"<title>车辆数据存储报告 · Vehicle data store</title><style>{STYLE}</style></head><body>",
            "<h1>车辆数据存储报告 · Your vehicle's data</h1>",
            _facts(report),
            _key(report["key"]),
            _held(report),
            _seen(report),
            _dropped(report),
            _deleted(report),
            _rights(report["commands"]),
            _proof(report),
            "</body></html>\n",
        ]
    )


def _facts(report: Mapping[str, Any]) -> str:
    consent, because = report["consent"], report["not_recording_because"]
    state = (
        ("允许记录", "recording is allowed")
        if not because
        else _word(because, ("不记录：", "not recording: "))
    )
    until = "（已撤回）" if consent["withdrawn"] else "", " (withdrawn)" if consent["withdrawn"] else ""
    rows: list[tuple[Pair, Pair]] = [
        (("报告日期", "Date of this report"), _same(report["made_on"])),
        (("状态", "State"), state),
        (("目的", "Purpose"), _same(f"{report['purpose']} {report['purpose_text']}".strip() or "–")),
        (("联系人", "Contact"), _same(report["contact"] or "–")),
        (("同意有效期", "Consent"), tuple(f"{consent['from']} – {consent['until']}{one}" for one in until)),  # type: ignore[list-item]
        (("存放地区", "Region"), _same(report["place"]["region"] or "–")),
        (("存放位置", "Stored in"), _same(report["place"]["folder"])),
        (("容量上限", "Size limit"), _limit(report["limit"])),
    ]
    body = "".join(
        f"<tr><th>{escape(name[0])}<br>{escape(name[1])}</th><td>{escape(value[0])}</td><td>{escape(value[1])}</td></tr>"
        for name, value in rows
    )
    return f"<table>{body}</table>"


def _limit(limit: Mapping[str, Any]) -> Pair:
    rule = REASONS[limit["at_limit"]]
    return f"{_size(limit['bytes'])}，达到后{rule[0]}", f"{_size(limit['bytes'])}; then {rule[1]}"


def _key(key: Mapping[str, Any]) -> str:
    meaning = key["meaning"]
    parts = [_two(meaning["zh"], meaning["en"])] if meaning else []
    if key["beside_the_data"]:
        parts.append(
            _two(
                "设备密钥与数据放在同一处：磁盘被盗时不提供任何保护。",
                "The device key lies beside the data: against a stolen disk it protects nothing.",
            )
        )
    return f"<div class='warn'>{''.join(parts)}</div>" if parts else ""


def _held(report: Mapping[str, Any]) -> str:
    rows = [
        [
            _both(CLASSES[one["class"]]), escape(one["region"]), _number(one["segments"]), _number(one["frames"]),
            f"<td class='n'>{_size(one['bytes'])}</td>", f"{one['oldest_day']} – {one['newest_day']}",
            f"{one['first_deletion_after']} – {one['last_deletion_after']} ({one['retention_days']} d)",
            "<br>".join(f"{title} <code>{escape(one['commands'][name])}</code>"
                        for name, title in (("copy", "复制 · copy"), ("delete", "删除 · delete"))),
        ]
        for one in report["held"]
    ]  # fmt: skip
    head = [("类别", "class"), ("地区", "region"), ("片段", "segments"), ("帧", "frames"), ("大小", "size"),
            ("日期", "days"), ("保存至（含）", "kept until, included"), ("操作", "commands")]  # fmt: skip
    return _part(("保存了什么", "What is held"), head, rows)


def _seen(report: Mapping[str, Any]) -> str:
    named = ("recipient", "purpose", "jurisdiction")
    rows = [
        [
            escape(one["day"]), _both(_pair(one["what"])), *(escape(one[name] or "–") for name in named),
            _number(one["segments"]), _number(one["row"]),
        ]
        for one in report["seen_by"]
    ]  # fmt: skip
    head = [("日期", "day"), ("事项", "what"), ("接收方", "by whom"), ("目的", "purpose"), ("法域", "jurisdiction"),
            ("片段", "segments"), ("账本行", "ledger row")]  # fmt: skip
    return _part(("谁读取或导出过", "Who read or exported it"), head, rows)


def _dropped(report: Mapping[str, Any]) -> str:
    rows = [
        [escape(one["day"]), _both(_pair(one["reason"])), _number(one["frames"])] for one in report["dropped"]
    ]
    note = _two(
        "只有每日计数，不含时刻和地点。正在运行的记录器最近十分钟的计数可能尚未列入。",
        "Counts a day alone, without time or place. Those of a running recorder's last ten minutes may be missing.",
    )
    head = [("日期", "day"), ("原因", "reason"), ("帧", "frames")]
    return _part(("未保存的内容及原因", "What was dropped, and why"), head, rows, note)


def _deleted(report: Mapping[str, Any]) -> str:
    rows = [
        [
            escape(one["day"]),
            _both(_pair(one["cause"])),
            _both(_pair(one["method"])),
            _number(one["segments"]),
        ]
        for one in report["deleted"]
    ]
    head = [("日期", "day"), ("原因", "cause"), ("方式", "method"), ("片段", "segments")]
    note = ""
    if report["missing"]:
        note = _two(f"缺失的片段：{report['missing']}", f"Segments that are missing: {report['missing']}")
    return _part(("已删除的内容", "What was deleted"), head, rows, note)


def _rights(commands: Mapping[str, str]) -> str:
    names = {
        "copy": ("复制全部", "copy everything"),
        "delete": ("删除全部", "delete everything"),
        "withdraw": (
            "撤回同意：停止记录并删除全部",
            "withdraw the consent: recording ends, everything is deleted",
        ),
        "stop": ("停止记录，保留数据", "stop recording, keep what there is"),
        "start": ("继续记录", "go on recording"),
        "verify": ("验证账本", "verify the ledger"),
    }
    rows = [[_both(pair), f"<code>{escape(commands[name])}</code>"] for name, pair in names.items()]
    note = _two(
        "每条命令都会在账本中留下一行，并给出可验证的回执。副本未加密，请妥善保管。",
        "Each command leaves a row in the ledger and a receipt that can be verified. Copies are not encrypted.",
    )
    return _part(("您可以做什么", "What you can do"), [("事项", "what"), ("命令", "command")], rows, note)


def _proof(report: Mapping[str, Any]) -> str:
    ledger = report["ledger"]
    note = _two(
        "账本可证明在外部持有的最近检查点之前没有任何记录被更改或删除。请自行保存下面的检查点。",
        "The ledger proves that nothing was changed or removed before the last checkpoint that somebody outside holds. "
        "Keep the one below.",
    )
    return (
        f"<h2>证明 · Proof</h2>{note}<p>{ledger['rows']} rows · <code>{escape(ledger['public_key'] or '–')}</code></p>"
        f"<pre><code>{escape(ledger['checkpoint'] or '–')}</code></pre>"
    )


def _part(title: Pair, head: Sequence[Pair], rows: Iterable[Sequence[str]], note: str = "") -> str:
    body = "".join(
        "<tr>" + "".join(cell if cell.startswith("<td") else f"<td>{cell}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    if not body:
        body = f"<tr><td class='no' colspan='{len(head)}'>无 · none</td></tr>"
    names = "".join(f"<th>{escape(zh)}<br>{escape(en)}</th>" for zh, en in head)
    return f"<h2>{escape(title[0])} · {escape(title[1])}</h2>{note}<table><tr>{names}</tr>{body}</table>"


def _two(zh: str, en: str) -> str:
    return f"<div class='two'><p lang='zh'>{escape(zh)}</p><p lang='en'>{escape(en)}</p></div>"


def _both(pair: Pair) -> str:
    return f"{escape(pair[0])} · {escape(pair[1])}"


def _pair(word: str) -> Pair:
    """Words for a reason; one that has none stands for itself."""
    return REASONS.get(word, _same(word.replace("_", " ")))


def _word(word: str, before: Pair) -> Pair:
    zh, en = _pair(word)
    return before[0] + zh, before[1] + en


def _same(text: str) -> Pair:
    return text, text


def _number(value: int | None) -> str:
    return f"<td class='n'>{'–' if value is None else f'{value:,}'}</td>"


def _size(size: int) -> str:
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
