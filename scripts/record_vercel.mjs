// Makes the calls that are recorded with Vercel's AI SDK, and prints its spans as OTLP/JSON.
//
//     node record_vercel.mjs DIRECTORY URL
//
// DIRECTORY is where the packages are installed, URL is the provider; record_spans.py passes both.

import { createRequire } from 'node:module'

const [directory, url] = process.argv.slice(2)
const require = createRequire(`${directory}/`)
const { generateText, streamText, embed, tool, jsonSchema, stepCountIs } = require('ai')
const { createOpenAI } = require('@ai-sdk/openai')
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks')
const { context } = require('@opentelemetry/api')
const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base')

const QUESTION = 'What is the capital of Portugal?'
const memory = new InMemorySpanExporter()
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(memory)] })
context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())

const openai = createOpenAI({ apiKey: 'sk-none', baseURL: `${url}/v1` })
const telemetry = (functionId) => ({
  experimental_telemetry: {
    isEnabled: true,
    tracer: provider.getTracer('ai', require('ai/package.json').version),
    functionId,
    metadata: { posthog_distinct_id: 'user-42', $ai_session_id: 'conversation-1' },
  },
})

const weather = tool({
  description: 'The weather of a city.',
  inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }),
  execute: async ({ city }) => `Sunny in ${city}.`,
})
await generateText({
  model: openai.chat('gpt-4o'),
  system: 'Answer in one word.',
  prompt: QUESTION,
  temperature: 0.2,
  maxOutputTokens: 100,
  tools: { get_weather: weather },
  stopWhen: stepCountIs(3),
  ...telemetry('travel'),
})
const stream = streamText({ model: openai.chat('gpt-4o'), prompt: QUESTION, ...telemetry('travel-stream') })
await stream.consumeStream()
await embed({ model: openai.embedding('text-embedding-3-small'), value: 'Lisbon', ...telemetry('index') })
await generateText({ model: openai.chat('busy-model'), prompt: QUESTION, maxRetries: 0, ...telemetry('busy') }).catch(
  () => {},
)

const value = (given) => {
  if (Array.isArray(given)) return { arrayValue: { values: given.map(value) } }
  if (typeof given === 'boolean') return { boolValue: given }
  if (typeof given === 'number') return Number.isInteger(given) ? { intValue: String(given) } : { doubleValue: given }
  return { stringValue: String(given).replaceAll(directory, '/srv/app') }
}
const attributes = (given) => Object.entries(given).map(([key, each]) => ({ key, value: value(each) }))
const nanoseconds = ([seconds, rest]) => String(BigInt(seconds) * 1_000_000_000n + BigInt(rest))
const spans = memory.getFinishedSpans()
console.log(
  JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: attributes({ 'service.name': 'recorded' }) },
        scopeSpans: [
          {
            scope: { name: spans[0].instrumentationScope.name, version: spans[0].instrumentationScope.version },
            spans: spans.map((span) => ({
              traceId: span.spanContext().traceId,
              spanId: span.spanContext().spanId,
              parentSpanId: span.parentSpanContext?.spanId ?? '',
              name: span.name,
              kind: span.kind + 1,
              startTimeUnixNano: nanoseconds(span.startTime),
              endTimeUnixNano: nanoseconds(span.endTime),
              attributes: attributes(span.attributes),
              status: { code: span.status.code, message: span.status.message ?? '' },
              events: span.events.map((event) => ({
                timeUnixNano: nanoseconds(event.time),
                name: event.name,
                attributes: attributes(event.attributes ?? {}),
              })),
            })),
          },
        ],
      },
    ],
  }),
)
