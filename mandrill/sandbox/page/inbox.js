import { el, roving, showMail } from './mail.js';

const $ = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

// mails are the summaries, the newest first; found are the ids that the search gave, or null.
let mails = [];
let found = null;
let shownMail = null;

const taken = (recipient) => recipient.status !== 'rejected' && recipient.status !== 'invalid';
const outcome = (r) => r.status + (r.reject_reason ? ` (${r.reject_reason})` : '') + (r.queued_reason ? ` (${r.queued_reason})` : '');
const chosen = () => decodeURIComponent(location.hash.slice(1));

function row(mail) {
	const refused = mail.recipients.filter((r) => !taken(r));
	const status = refused.length ? refused[0].status : mail.recipients[0]?.status;
	return el('li', {}, el('a', { href: `#${mail.id}`, 'data-id': mail.id, tabindex: '-1' },
		el('span', { class: 'subject' }, mail.subject || (mail.template ? `template ${mail.template}` : '(no subject)')),
		el('time', { datetime: mail.time }, clock.format(new Date(mail.time))),
		el('span', { class: 'to' }, mail.recipients.map((r) => r.email).join(', ')),
		el('span', { class: refused.length ? 'status bad' : 'status' }, status || '')));
}

function list() {
	const visible = found ? mails.filter((mail) => found.has(mail.id)) : mails;
	const focused = document.activeElement?.dataset?.id;
	$('mails').replaceChildren(...visible.map(row));
	$('none').hidden = visible.length > 0;
	$('none').textContent = mails.length ? 'No mail has these words.' : 'No mail yet. It appears here as soon as a hook sends one.';
	$('clear').disabled = mails.length === 0;
	document.title = mails.length ? `(${mails.length}) Mandrill sandbox` : 'Mandrill sandbox';
	mark();
	if (focused) $('mails').querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
}

// mark says which mail of the list is shown; it, or else the first one, is in the order of the Tab key.
function mark() {
	const links = [...$('mails').querySelectorAll('a')];
	for (const link of links) {
		link.toggleAttribute('aria-current', link.dataset.id === shownMail);
		if (link.dataset.id === shownMail) link.setAttribute('aria-current', 'true');
		link.tabIndex = -1;
	}
	const first = links.find((link) => link.dataset.id === shownMail) || links[0];
	if (first) first.tabIndex = 0;
}

async function open(id, to = 0) {
	shownMail = id;
	mark();
	const summary = mails.find((mail) => mail.id === id);
	const answer = id && summary ? await fetch(`mail/${id}?to=${to}`) : null;
	if (shownMail !== id) return; // another one was chosen in the meantime
	const mail = answer?.ok ? await answer.json() : null;
	$('mail').hidden = !mail;
	$('hint').hidden = !!mail;
	$('hint').textContent = id ? 'This mail is no longer kept.' : 'Choose a mail to read it.';
	if (!mail) return $('mail').replaceChildren();
	const answers = el('table', {}, el('tbody', {}, ...summary.recipients.map((r) => el('tr', {},
		el('th', { scope: 'row' }, r.email), el('td', { class: taken(r) ? '' : 'bad' }, outcome(r)), el('td', { class: 'dim' }, r._id)))));
	showMail($('mail'), mail, {
		frameAddress: `mail/${id}/html?to=${to}`,
		filesAddress: `mail/${id}/file/`,
		more: [['answer', ['Answer'], 'table', [el('p', { class: 'dim' }, 'The API answered with 200, and of each recipient:'), answers,
			el('h3', {}, 'As JSON'), el('pre', {}, JSON.stringify(summary.recipients, null, 2))]]],
		notes: summary.recipients.filter((r) => !taken(r)).map((r) => `${r.email}: ${outcome(r)}`),
		chooseRecipient: (i) => open(id, i),
	});
}

async function search() {
	const query = $('search').value.trim();
	found = query ? new Set(await (await fetch(`sandbox/find?q=${encodeURIComponent(query)}`)).json()) : null;
	if (query !== $('search').value.trim()) return;
	list();
	if (query) $('said').textContent = `${found.size} mails found`;
}

// failures are what the switch offers, in groups. The first ones are asked for most.
const queued = ['account-suspended', 'sending-paused', 'sending-suspended', 'hourly-quota-exhausted', 'monthly-limit-reached', 'free-trial-sends-exhausted', 'sending-backlogged', 'attachments', 'multiple-recipients'];
const rejected = ['unsigned', 'hard-bounce', 'soft-bounce', 'spam', 'unsub', 'custom', 'invalid-sender', 'invalid', 'test-mode-limit', 'rule'];
const groups = {
	'The call is refused': [
		['Rate limit: 429', { name: 'RequestLimitExceeded', retry_after: 5 }],
		['Down: 503', { name: 'ServiceUnavailable' }],
		['More than 10 calls a second are refused', { limit: 10 }],
		['The key: Invalid_Key', { name: 'Invalid_Key' }],
		['The account must pay: PaymentRequired', { name: 'PaymentRequired' }],
		['The message: ValidationError', { name: 'ValidationError' }],
		['The sub-account: Unknown_Subaccount', { name: 'Unknown_Subaccount' }],
		['The template: Unknown_Template', { name: 'Unknown_Template' }],
		['Nobody knows why: GeneralError', { name: 'GeneralError' }],
		['Another error', { name: '' }],
	],
	'The answer is lost, late or not Mandrill\u2019s': [
		['Connection lost before the mail was taken', { reset: 'before' }],
		['Connection lost after the mail was taken', { reset: 'after' }],
		['Slow: answers after 15 seconds', { delay: '15s' }],
		['A proxy\u2019s 502', { body: '<html>Bad gateway</html>', status: 502 }],
		['A firewall\u2019s 403', { body: '<html>Forbidden</html>', status: 403 }],
		['A search finds nothing', { finds_nothing: true }],
	],
	'Every recipient is rejected': rejected.map((reason) => [`Rejected: ${reason}`, { reject_reason: reason }]),
	'Every recipient is queued': queued.map((reason) => [`Queued: ${reason}`, { queued_reason: reason }]),
};
const failures = Object.values(groups).flat();

// chosenFailure is what the switch is set to.
function chosenFailure() {
	const failure = { ...failures[$('failure').value][1] };
	if (failure.name === '') failure.name = $('error-name').value.trim();
	if (!Object.hasOwn(failure, 'finds_nothing') && $('subaccount').value.trim()) failure.subaccount = $('subaccount').value.trim();
	if ($('contains').value) failure.contains = $('contains').value;
	return failure;
}

function failureName({ calls, subaccount, contains, ...failure }) {
	const same = failures.find(([, offered]) => JSON.stringify(Object.entries(offered).sort()) === JSON.stringify(Object.entries(failure).sort()));
	return `${calls} × ${same ? same[0] : JSON.stringify(failure)}`
		+ (subaccount ? `, of the sub-account ${subaccount}` : '') + (contains ? `, with “${contains}”` : '');
}

function state({ failures: pending, calls, settings }) {
	$('only-indexed').checked = Boolean(settings.only_indexed_metadata);
	$('search-limit').checked = Boolean(settings.searches_per_minute);
	$('search-lag').checked = Boolean(settings.search_lag);
	const left = pending.reduce((sum, failure) => sum + failure.calls, 0);
	$('failures').replaceChildren(...pending.map((failure) => el('li', {}, failureName(failure))));
	$('no-failures').hidden = left > 0;
	$('recover').disabled = left === 0;
	$('failing').textContent = left ? `Failing: ${left} more` : 'Fail on purpose';
	$('failing').dataset.on = left > 0;
	$('calls').replaceChildren(el('tbody', {}, ...calls.toReversed().map((call) => el('tr', {},
		el('td', {}, clock.format(new Date(call.time))), el('td', {}, call.endpoint), el('td', {}, call.to || ''),
		el('td', { class: call.status === 200 ? 'good' : 'bad' }, call.status ? `${call.status} ${call.name || ''}` : 'connection closed'),
		el('td', { class: 'dim' }, `${call.took} ms`)))));
}

const change = (method, path, body) => fetch(path, { method, headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) });

function listen() {
	const events = new EventSource('sandbox/events');
	const live = (text, lost) => { $('live').textContent = text; $('live').classList.toggle('lost', lost); };
	events.onopen = () => live('Live', false);
	events.onerror = () => {
		live('Reconnecting', true);
		if (events.readyState === EventSource.CLOSED) setTimeout(listen, 1000);
	};
	events.addEventListener('mails', async (event) => {
		mails = JSON.parse(event.data);
		await search();
		list();
		await open(chosen());
	});
	events.addEventListener('mail', async (event) => {
		const arrived = JSON.parse(event.data);
		mails = [...arrived, ...mails].slice(0, 1000);
		if (found) await search();
		list();
		$('said').textContent = arrived.map((mail) => `New mail to ${mail.recipients.map((r) => r.email).join(', ')}: ${mail.subject}`).join('. ');
	});
	events.addEventListener('state', (event) => state(JSON.parse(event.data)));
}

let typing;
$('search').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(search, 150); });
$('clear').addEventListener('click', async () => {
	await change('DELETE', 'sandbox/messages');
	$('said').textContent = 'All mails are forgotten';
	$('search').focus();
});
$('failure').append(...Object.entries(groups).map(([label, offered]) => el('optgroup', { label },
	...offered.map((failure) => el('option', { value: failures.indexOf(failure) }, failure[0])))));
$('failure').addEventListener('change', () => {
	const offered = failures[$('failure').value][1];
	if (offered.limit) $('times').value = 1000000; // it is none for a few calls
	const other = offered.name === '';
	for (const part of [$('error-name'), document.querySelector('label[for=error-name]')]) part.hidden = !other;
});
for (const id of ['only-indexed', 'search-limit', 'search-lag']) {
	$(id).addEventListener('change', () => change('PUT', 'sandbox/settings', {
		only_indexed_metadata: $('only-indexed').checked,
		searches_per_minute: $('search-limit').checked ? 20 : 0,
		search_lag: $('search-lag').checked ? '20s' : '',
	}));
}
$('failing').addEventListener('click', () => $('switch').showModal());
$('fail').addEventListener('click', () => change('POST', 'sandbox/fail', { calls: Math.max(1, Math.floor(Number($('times').value)) || 1), ...chosenFailure() }));
$('recover').addEventListener('click', () => change('DELETE', 'sandbox/fail'));
addEventListener('hashchange', () => open(chosen()));
document.querySelector('.skip').addEventListener('click', (event) => {
	event.preventDefault(); // what stands behind # is the mail
	$('reader').focus();
});
roving($('mails'), 'a', { vertical: true, choose: (link) => { history.replaceState(null, '', link.getAttribute('href')); open(link.dataset.id); } });
listen();
