// Calls every endpoint of the sandbox at the address given with Mailchimp's own client for Node.js.
import assert from 'node:assert/strict';
import mailchimp from '@mailchimp/mailchimp_transactional';

const [address] = process.argv.slice(2);

function client(key) {
	const made = mailchimp(key);
	made.basePath = `${address}/api/1.3`;
	return made;
}
const { messages, users, senders } = client('key');

// The client resolves with an error where a call fails.
function failed(error, status, name) {
	assert.equal(error.response?.status, status);
	assert.equal(error.response.data.status, 'error');
	assert.equal(error.response.data.name, name);
}

// ping2, as JSON by default and by name
assert.deepEqual(await users.ping2({}), { PING: 'PONG!' });
assert.deepEqual(await users.ping2({ outputFormat: 'json' }), { PING: 'PONG!' });

// send
const message = {
	from_email: 'hello@example.com', from_name: 'Example', subject: 'Hello from Node', html: '<b>Hi</b>', text: 'Hi',
	to: [{ email: 'ada@example.net', name: 'Ada', type: 'to' }, { email: 'reject@test.mandrillapp.com', type: 'cc' }],
	headers: { 'Reply-To': 'help@example.com' }, tags: ['node'], metadata: { order: 'A-7' },
	attachments: [{ type: 'text/plain', name: 'a.txt', content: Buffer.from('hello').toString('base64') }],
};
const [sent, rejected] = await messages.send({ message });
assert.equal(sent.email, 'ada@example.net');
assert.equal(sent.status, 'sent');
assert.match(sent._id, /^[0-9a-f]{32}$/);
assert.equal(rejected.status, 'rejected');
assert.ok(rejected.reject_reason);

// sendTemplate
const [filled] = await messages.sendTemplate({
	template_name: 'welcome', template_content: [{ name: 'main', content: '<p>Hi</p>' }],
	message: { from_email: 'hello@example.com', to: [{ email: 'grace@example.net' }], global_merge_vars: [{ name: 'name', content: 'Grace' }] },
});
assert.equal(filled.status, 'sent');

// async and send_at
assert.equal((await messages.send({ message: { from_email: 'hello@example.com', to: [{ email: 'a@example.net' }] }, async: true }))[0].status, 'queued');
assert.equal((await messages.send({ message: { from_email: 'hello@example.com', to: [{ email: 'a@example.net' }] }, send_at: '2030-01-01 00:00:00' }))[0].status, 'scheduled');

// info and content
const info = await messages.info({ id: sent._id });
assert.equal(info._id, sent._id);
assert.equal(info.state, 'sent');
assert.equal(info.subject, message.subject);
assert.deepEqual(info.metadata, message.metadata);
assert.equal((await messages.info({ id: rejected._id })).state, 'rejected');
failed(await messages.info({ id: 'nobody' }), 404, 'Unknown_Message');
const content = await messages.content({ id: sent._id });
assert.equal(content.html, message.html);
assert.equal(content.text, message.text);
assert.equal(content.attachments[0].name, 'a.txt');
assert.equal(content.headers['Reply-To'], 'help@example.com');

// search
const found = await messages.search({ query: 'u_order:A-7', limit: 10 });
assert.deepEqual(found.map((one) => one._id).sort(), [sent._id, rejected._id].sort());
assert.equal((await messages.search({ query: '*' })).length, 5);
assert.equal((await messages.search({ query: '*', limit: 1 })).length, 1);

// checkDomain and domains
const good = await senders.checkDomain({ domain: 'example.org' });
assert.equal(good.domain, 'example.org');
assert.equal(good.spf.valid && good.dkim.valid && good.valid_signing, true);
assert.equal((await senders.checkDomain({ domain: 'new.invalid' })).valid_signing, false);
assert.deepEqual((await senders.domains({})).map((one) => one.domain), ['example.com', 'example.org', 'new.invalid']);

// what goes wrong
failed(await client('invalid-key').users.ping2({}), 401, 'Invalid_Key');
failed(await messages.send({ message: { from_email: 'hello@example.com' } }), 422, 'ValidationError');
failed(await messages.sendTemplate({ template_name: 'welcome', message }), 422, 'ValidationError');
failed(await client('key').tags.list({}), 404, 'Unknown_Method');
for (const [failure, status] of [[{ name: 'RequestLimitExceeded' }, 429], [{ status: 503 }, 503]]) {
	await fetch(`${address}/sandbox/fail`, { method: 'POST', body: JSON.stringify(failure) });
	const error = await users.ping2({});
	assert.equal(error.response.status, status);
}
await fetch(`${address}/sandbox/fail`, { method: 'POST', body: JSON.stringify({ reset: 'after' }) });
const lost = await messages.send({ message });
assert.equal(lost.response, undefined);
assert.equal((await messages.search({ query: 'u_order:A-7' })).length, 4);
console.log('every endpoint answered as the client expects');
