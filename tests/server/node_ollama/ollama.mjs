// Ollama's own client for JavaScript against a live gateway: prints what it got as one JSON object.
//
//   node ollama.mjs URL MODEL
import { Ollama } from "ollama";

const [host, model] = process.argv.slice(2);
const client = new Ollama({ host });
const messages = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Name three colours." },
];
const options = { num_predict: 16 };
const said = {};

const whole = await client.chat({ model, messages, options, logprobs: true, top_logprobs: 2 });
said.text = whole.message.content;
said.logprobs = whole.logprobs.map((entry) => entry.logprob);
said.reason = whole.done_reason;
said.counts = [whole.prompt_eval_count, whole.eval_count];

said.streamed = "";
for await (const part of await client.chat({ model, messages, options, stream: true })) {
  said.streamed += part.message.content;
}

const generated = await client.generate({
  model,
  system: "Be brief.",
  prompt: "Name three colours.",
  options,
});
said.generated = generated.response;

const schema = {
  type: "object",
  properties: { colour: { type: "string", enum: ["red", "blue"] } },
  required: ["colour"],
  additionalProperties: false,
};
const structured = await client.chat({ model, messages, format: schema });
said.structured = JSON.parse(structured.message.content);

const embedded = await client.embed({ model, input: ["a", "b"] });
said.dimensions = embedded.embeddings.map((vector) => vector.length);

said.listed = (await client.list()).models.map((entry) => entry.name);
said.family = (await client.show({ model })).details.family;
said.running = (await client.ps()).models.map((entry) => entry.name);

const error = await client.chat({ model: "nosuch", messages }).catch((caught) => caught);
said.error = { name: error.name, status: error.status_code, message: error.error };
const pull = await client.pull({ model: "nosuch" }).catch((caught) => caught);
said.pull = pull.status_code;

const long = await client.generate({
  model,
  prompt: "Write a long story.",
  stream: true,
  options: { num_predict: 1500 },
});
said.pieces = 0;
try {
  for await (const part of long) {
    said.pieces += part.done ? 0 : 1;
    if (said.pieces === 3) client.abort();
  }
} catch (caught) {
  said.aborted = caught.name;
}
console.log(JSON.stringify(said));
