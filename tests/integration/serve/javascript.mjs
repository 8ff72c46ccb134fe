/* Sends requests with JavaScript clients: a line of JSON in for each, a line out when it ends. */

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const load = createRequire(process.argv[2]);

function openai({ url, key, retries, timeout }) {
  const { default: OpenAI } = load("openai");
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: retries, timeout });
}

async function sendOpenai({ images, mask, fields, ...options }) {
  const { toFile } = load("openai");
  const client = openai(options);
  const file = (content, name) => toFile(Buffer.from(content, "base64"), name, { type: "image/png" });
  const made = images
    ? await client.images.edit({
        ...fields,
        image: await Promise.all(images.map((each, at) => file(each, `${at}.png`))),
        mask: mask && (await file(mask, "mask.png")),
      })
    : await client.images.generate(fields);
  return made.data.map((each) => each.b64_json);
}

async function streamOpenai({ fields, ...options }) {
  const types = [];
  for await (const event of await openai(options).images.generate({ ...fields, stream: true })) types.push(event.type);
  return types;
}

async function listModels(options) {
  const ids = [];
  for await (const model of openai(options).models.list()) ids.push(model.id);
  return ids;
}

async function sendAiSdk(model, { images, mask, fields, retries, timeout }) {
  const { experimental_generateImage: generateImage } = load("ai");
  const { prompt, n, size } = fields;
  const made = await generateImage({
    model,
    prompt: images ? { text: prompt, images, mask } : prompt,
    n,
    size,
    maxRetries: retries,
    abortSignal: timeout && AbortSignal.timeout(timeout),
  });
  return made.images.map((image) => image.base64);
}

const clients = {
  openai: sendOpenai,
  "openai stream": streamOpenai,
  "openai models": listModels,
  "@ai-sdk/openai": ({ url, key, ...request }) => {
    const { createOpenAI } = load("@ai-sdk/openai");
    return sendAiSdk(createOpenAI({ baseURL: `${url}/v1`, apiKey: key }).image(request.fields.model), request);
  },
  "@ai-sdk/openai-compatible": ({ url, key, ...request }) => {
    const { createOpenAICompatible } = load("@ai-sdk/openai-compatible");
    const provider = createOpenAICompatible({ name: "imagen", baseURL: `${url}/v1`, apiKey: key });
    return sendAiSdk(provider.imageModel(request.fields.model), request);
  },
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { id, client, ...request } = JSON.parse(line);
  const answer = await clients[client](request).then(
    (result) => ({ id, result }),
    (error) => ({ id, error: { type: error.constructor.name, status: error.status ?? error.statusCode, message: error.message } }),
  );
  process.stdout.write(`${JSON.stringify(answer)}\n`);
});
