import { el, roving, showMail, table } from './mail.js';

const $ = (id) => document.getElementById(id);

// What is chosen stands behind the # of the address.
const chosen = () => new URLSearchParams(location.hash.slice(1));
const address = (template, ctx) => '#' + new URLSearchParams({ template, ctx });

let templates = [];
// saved is the ctx as it lies on disk, before is the state that was heard of last.
let saved = '';
let before = {};
let events = null;
let drawing = 0;
let recipient = 0;

const edited = () => $('ctx').value !== saved;

function list(failed) {
	const template = chosen().get('template');
	const ctx = chosen().get('ctx') || '';
	const focused = document.activeElement?.getAttribute?.('href');
	const link = (t, c, label) => {
		const current = t.name === template && (c ? c.name : '') === ctx;
		return el('a', { href: address(t.name, c ? c.name : ''), 'aria-current': current ? 'true' : null, tabindex: current ? '0' : '-1' }, label);
	};
	$('templates').replaceChildren(...templates.map((t) => el('li', {}, el('span', { class: 'name', id: `name-${t.name}` }, t.name.replace(/\.jsonnet$/, '')),
		el('ul', { 'aria-labelledby': `name-${t.name}` }, ...(t.ctx.length
			? t.ctx.map((c) => el('li', {}, link(t, c, c.variant || 'ctx')))
			: [el('li', {}, link(t, null, 'no ctx'))])))));
	const links = [...$('templates').querySelectorAll('a')];
	if (!links.some((one) => one.tabIndex === 0) && links[0]) links[0].tabIndex = 0;
	links.find((one) => one.getAttribute('href') === focused)?.focus();
	$('templates').querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest' });
	$('none').hidden = templates.length > 0;
	$('none').textContent = failed || 'There is no template here. A template is a file whose name ends in .jsonnet.';
}

// load takes the ctx from the disk, unless somebody is changing it here.
async function load(force) {
	const ctx = chosen().get('ctx');
	const answer = ctx ? await fetch(`ctx?file=${encodeURIComponent(ctx)}`) : null;
	const text = answer?.ok ? await answer.text() : '{}';
	if (ctx !== chosen().get('ctx')) return;
	if (force || !edited()) $('ctx').value = text;
	saved = text;
	status();
}

function status() {
	const name = chosen().get('ctx');
	$('ctx-name').textContent = name || 'ctx';
	$('revert').hidden = !edited();
	const template = chosen().get('template') || '';
	$('ctx-state').textContent = edited() ? 'Changed here, and not saved: the file stays as it is.'
		: name ? 'What you change here redraws the mail, and stays on this page.'
			: `Save a ctx as ${template.replace(/\.jsonnet$/, '')}.ctx.json, and it is listed.`;
}

function problem({ file, line, column, message, excerpt }) {
	const where = (file || chosen().get('ctx') || 'ctx') + (line ? `:${line}` : '') + (column ? `:${column}` : '');
	$('problem').replaceChildren(el('h2', {}, where), el('p', {}, message),
		...(excerpt ? [el('ol', { 'aria-label': 'Excerpt' }, ...excerpt.map(({ number, text }) =>
			el('li', { class: number === line ? 'at' : '' }, el('span', {}, String(number)), text)))] : []));
}

// showChange shows what an audience would be told of a person.
function showChange(change) {
	const { email_address: email, archive } = change;
	const shown = (value) => typeof value === 'string' ? value : JSON.stringify(value);
	const rows = [
		...(email ? [['Address', email], ['If it is new', change.status_if_new || 'it isn’t added']] : []),
		...Object.entries(change.merge_fields || {}).map(([tag, value]) => [tag, shown(value)]),
		...Object.entries(change.interests || {}).map(([id, on]) => [`Interest ${id}`, on ? 'on' : 'off']),
		...(change.language ? [['Language', change.language]] : []),
		...(change.tags || []).map(({ name, status }) => ['Tag', status === 'inactive' ? `${name}, taken off` : name]),
		...(archive && archive.toLowerCase() !== email?.toLowerCase() ? [['Taken out', archive]] : []),
	];
	$('mail').replaceChildren(
		el('div', { class: 'head' }, el('h2', {}, email || archive), el('p', {}, 'What the audience would be told')),
		el('div', { class: 'panel text', tabindex: '0' }, table(null, rows), el('h3', {}, 'JSON'), el('pre', {}, JSON.stringify(change, null, 2))));
	return email || archive;
}

function show(what) {
	for (const id of ['hint', 'mail', 'problem']) $(id).hidden = id !== what;
}

async function draw() {
	const template = chosen().get('template');
	if (!template) return show('hint');
	const mine = ++drawing;
	let drawn;
	try {
		const answer = await fetch('draw', {
			method: 'POST', headers: { 'Content-Type': 'application/json' },
			body: JSON.stringify({ template, ctx: $('ctx').value, to: recipient }),
		});
		if (answer.status === 404) drawn = { hint: `${template} is not there any more.` };
		else if (!answer.ok) drawn = { problem: { message: await answer.text() } };
		else drawn = await answer.json();
	} catch {
		return; // the stream of events says that the connection is lost
	}
	if (mine !== drawing) return; // a newer one is on its way
	if (drawn.hint || drawn.cancelled) {
		$('hint').textContent = drawn.hint || 'The template cancelled: nothing is sent for this ctx.';
		return show('hint');
	}
	if (drawn.problem) {
		problem(drawn.problem);
		return show('problem');
	}
	show('mail');
	if (drawn.change) return named(showChange(drawn.change), template);
	showMail($('mail'), drawn.mail, {
		frameAddress: `drawn/${drawn.id}/html`,
		filesAddress: `drawn/${drawn.id}/file/`,
		notes: drawn.warnings || [],
		chooseRecipient: (i) => { recipient = i; draw(); },
	});
	named(drawn.mail.subject, template);
}

// named says what is shown.
function named(name, template) {
	document.title = `${name || template} – Mail preview`;
	$('said').textContent = `Drawn: ${name}`;
}

// listen hears of each change on disk to what is chosen.
function listen() {
	events?.close();
	events = new EventSource(`events?${chosen()}`);
	const live = (text, lost) => { $('live').textContent = text; $('live').classList.toggle('lost', lost); };
	const mine = events;
	events.onopen = () => live('Live', false);
	events.onerror = () => {
		live('Reconnecting', true);
		if (mine.readyState === EventSource.CLOSED) setTimeout(() => mine === events && listen(), 1000);
	};
	events.addEventListener('state', async (event) => {
		const state = JSON.parse(event.data);
		templates = state.templates;
		list(state.failed);
		if (!chosen().get('template')) {
			const first = templates.find((t) => t.ctx.length > 0) || templates[0];
			if (first) location.replace(address(first.name, first.ctx[0]?.name || ''));
			return;
		}
		const known = before;
		before = state;
		if (known.ctx !== state.ctx) await load(false);
		if (known.ctx !== state.ctx || known.template !== state.template) await draw();
	});
}

async function choose() {
	before = {};
	recipient = 0;
	list();
	await load(true);
	listen(); // its first event draws
}

let typing;
$('ctx').addEventListener('input', () => {
	status();
	clearTimeout(typing);
	typing = setTimeout(draw, 200);
});
$('revert').addEventListener('click', () => {
	$('ctx').value = saved;
	status();
	draw();
	$('ctx').focus();
});
$('toggle').addEventListener('click', () => {
	$('editor').hidden = !$('editor').hidden;
	$('toggle').setAttribute('aria-expanded', String(!$('editor').hidden));
});
document.querySelector('.skip').addEventListener('click', (event) => {
	event.preventDefault(); // what stands behind # is the template
	$('reader').focus();
});
addEventListener('hashchange', choose);
roving($('templates'), 'a', { vertical: true, choose: (link) => location.replace(link.getAttribute('href')) });
choose();
