// OpenAI's own client for JavaScript against a live gateway: prints what it got as one JSON object.
//
//   node chat.mjs URL MODEL TOOLS_MODEL
import OpenAI from "openai";

const [url, model, toolsModel] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Name three colours." },
];
const asked = { model, messages, max_tokens: 16 };
const said = {};

const whole = await client.chat.completions.create({ ...asked, logprobs: true, top_logprobs: 2 });
said.text = whole.choices[0].message.content;
said.logprobs = whole.choices[0].logprobs.content.map((entry) => entry.logprob);
said.fingerprint = whole.system_fingerprint;

const stream = await client.chat.completions.create({
  ...asked,
  stream: true,
  stream_options: { include_usage: true },
});
said.streamed = "";
for await (const chunk of stream) {
  said.streamed += chunk.choices[0]?.delta.content ?? "";
  said.usage = chunk.usage ?? said.usage;
}

const schema = {
  type: "object",
  properties: { colour: { type: "string", enum: ["red", "blue"] } },
  required: ["colour"],
  additionalProperties: false,
};
const structured = await client.chat.completions.create({
  ...asked,
  max_tokens: 60,
  response_format: { type: "json_schema", json_schema: { name: "colour", strict: true, schema } },
});
said.structured = JSON.parse(structured.choices[0].message.content);

const called = await client.chat.completions.create({
  ...asked,
  model: toolsModel,
  max_tokens: 60,
  tools: [{ type: "function", function: { name: "paint", parameters: schema } }],
  tool_choice: "required",
});
said.call = called.choices[0].message.tool_calls[0].function;

const embedded = await client.embeddings.create({ model, input: ["a", "b"] });
said.dimensions = embedded.data.map((entry) => entry.embedding.length);

const answered = await client.responses.create({
  model,
  instructions: "Be brief.",
  input: "Name three colours.",
  max_output_tokens: 16,
});
said.responded = answered.output_text;

const error = await client.chat.completions
  .create({ ...asked, model: "gpt-4o" })
  .catch((caught) => caught);
said.error = {
  isNotFound: error instanceof OpenAI.NotFoundError,
  status: error.status,
  code: error.code,
  param: error.param,
};

const aborted = new AbortController();
const long = await client.chat.completions.create(
  { ...asked, max_tokens: 1000, stream: true, logit_bias: { 0: -100, 2: -100 } },
  { signal: aborted.signal },
);
said.pieces = 0;
for await (const _ of long) {
  said.pieces += 1;
  if (said.pieces === 3) aborted.abort();
}

console.log(JSON.stringify(said));
